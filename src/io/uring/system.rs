//! The system calls that the ring does not have; none of them waits for a peer or a device.

use std::ffi::CString;
use std::io::ErrorKind;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::slots::SocketAddress;
use crate::base::time::Instant;
use crate::io::op::{Fd, ListenAddress, Space};
use crate::io::{Error, Result};

/// The number of `cachestat`, the same on every architecture; the libc crate lacks it.
const SYS_CACHESTAT: libc::c_long = 451;

/// Allocations from this size on are the kernel's, in bytes.
const LARGE_BYTES_MIN: libc::c_int = 64 << 10;

fn checked(result: libc::c_int) -> Result<libc::c_int> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}

/// An error as completions carry it.
pub(super) fn negated(error: &Error) -> i32 {
    -error.raw_os_error().unwrap_or(libc::EIO)
}

fn clock(id: libc::clockid_t) -> libc::timespec {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the argument is a timespec to be filled.
    let result = unsafe { libc::clock_gettime(id, &mut now) };
    assert!(result == 0, "these clocks exist on every Linux");
    now
}

pub(super) fn monotonic() -> Instant {
    let now = clock(libc::CLOCK_MONOTONIC);
    Instant(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

pub(super) fn wall_ms() -> i64 {
    let now = clock(libc::CLOCK_REALTIME);
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

pub(super) fn random(bytes: &mut [u8]) {
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = &mut bytes[filled..];
        // SAFETY: the range is the writable rest of `bytes`.
        let count = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match count {
            0.. => filled += count as usize,
            _ if Error::last_os_error().kind() == ErrorKind::Interrupted => {}
            _ => panic!("getrandom: {}", Error::last_os_error()),
        }
    }
}

/// Bytes that the process's user may lock; `None` where nothing bounds them.
pub(super) fn locked_bytes_max() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the argument is an rlimit to be filled.
    let told = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) } == 0;
    (told && limit.rlim_cur != libc::RLIM_INFINITY && !may_lock_at_will()).then_some(limit.rlim_cur)
}

/// Whether the process has CAP_IPC_LOCK, which passes the limit of locked memory.
fn may_lock_at_will() -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .is_some_and(|bits| bits >> CAP_IPC_LOCK & 1 == 1)
}

/// `path` for the kernel.
pub(super) fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::from_raw_os_error(libc::EINVAL))
}

pub(super) fn close(fd: Fd) {
    // SAFETY: the descriptor is ours and nobody uses it any more.
    unsafe { libc::close(fd.0) };
}

/// Ends both directions of a socket.
pub(super) fn shutdown(fd: Fd) -> Result<()> {
    // SAFETY: plain numbers.
    checked(unsafe { libc::shutdown(fd.0, libc::SHUT_RDWR) }).map(drop)
}

/// The names in a directory.
pub(super) fn names(path: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        // A name that is not UTF-8 is none of the broker's; it is still named, as well as it can be.
        names.push(String::from_utf8_lossy(&entry?.file_name().into_vec()).into_owned());
    }
    Ok(names)
}

pub(super) fn space(path: &Path) -> Result<Space> {
    let path = c_path(path)?;
    // SAFETY: all-zero bytes are a valid statvfs.
    let mut answer: libc::statvfs = unsafe { zeroed() };
    // SAFETY: the path is terminated, the answer is to be filled.
    checked(unsafe { libc::statvfs(path.as_ptr(), &mut answer) })?;
    Ok(Space { free: answer.f_bavail * answer.f_frsize, total: answer.f_blocks * answer.f_frsize })
}

pub(super) fn truncate(fd: Fd, bytes: u64) -> Result<()> {
    let bytes = libc::off_t::try_from(bytes).map_err(|_| Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: plain numbers.
    checked(unsafe { libc::ftruncate(fd.0, bytes) }).map(drop)
}

/// Whether all pages of `[at, at + bytes)` are in the page cache (`cachestat`, Linux 6.5).
pub(super) fn is_resident(fd: Fd, at: u64, bytes: u32) -> Result<bool> {
    // The kernel's `struct cachestat_range` and `struct cachestat`, whose first number is that of the pages in the cache.
    let range = [at, u64::from(bytes)];
    let mut found = [0u64; 5];
    // SAFETY: both arrays have the size and layout that the call reads and writes, and live until it returns.
    let result = unsafe { libc::syscall(SYS_CACHESTAT, fd.0, range.as_ptr(), found.as_mut_ptr(), 0) };
    checked(result as libc::c_int)?;
    // SAFETY: takes a number and gives one.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
    let pages = (at + u64::from(bytes)).div_ceil(page) - at / page;
    Ok(found[0] >= pages)
}

/// A stream socket of `family`, non-blocking and closed on exec.
fn stream_socket(family: libc::c_int) -> Result<RawFd> {
    // SAFETY: plain numbers.
    checked(unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) })
}

fn set_flag(fd: RawFd, level: libc::c_int, name: libc::c_int) -> Result<()> {
    set_option(fd, level, name, 1)
}

fn set_option(fd: RawFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> Result<()> {
    // SAFETY: the option's value is an int of the stated size.
    let set = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), size_of::<libc::c_int>() as u32) };
    checked(set).map(drop)
}

/// Small replies leave at once (TCP only; others have no such delay).
fn send_at_once(fd: RawFd) {
    // A connection that was reset meanwhile fails here; its first receive will say so.
    let _ = set_flag(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY);
}

/// A socket to connect to `address` with.
pub(super) fn connecting_socket(address: &SocketAddr) -> Result<RawFd> {
    let fd = stream_socket(if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 })?;
    send_at_once(fd);
    Ok(fd)
}

/// `address` as the kernel has it.
pub(super) fn socket_address(address: &SocketAddr) -> SocketAddress {
    // SAFETY: all-zero bytes are a valid sockaddr_storage.
    let mut storage: libc::sockaddr_storage = unsafe { zeroed() };
    let bytes = match address {
        SocketAddr::V4(address) => {
            // SAFETY: a sockaddr_storage is large and aligned enough for every address family.
            let v4 = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_in>() };
            v4.sin_family = libc::AF_INET as _;
            v4.sin_port = address.port().to_be();
            v4.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(address) => {
            // SAFETY: as above.
            let v6 = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_in6>() };
            v6.sin6_family = libc::AF_INET6 as _;
            v6.sin6_port = address.port().to_be();
            v6.sin6_addr.s6_addr = address.ip().octets();
            v6.sin6_flowinfo = address.flowinfo();
            v6.sin6_scope_id = address.scope_id();
            size_of::<libc::sockaddr_in6>()
        }
    };
    SocketAddress { storage, bytes: bytes as libc::socklen_t }
}

/// The inverse of [`socket_address`]; `None` for families without ports.
fn address_of(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match libc::c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says which structure it is; the storage is large and aligned enough.
            let v4 = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddr::V6(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id)))
        }
        _ => None,
    }
}

type NameCall = unsafe extern "C" fn(libc::c_int, *mut libc::sockaddr, *mut libc::socklen_t) -> libc::c_int;

fn name_of(fd: RawFd, call: NameCall) -> Option<SocketAddr> {
    // SAFETY: all-zero bytes are a valid sockaddr_storage.
    let mut storage: libc::sockaddr_storage = unsafe { zeroed() };
    let mut bytes = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: the storage is as large as stated.
    checked(unsafe { call(fd, (&raw mut storage).cast(), &mut bytes) }).ok()?;
    address_of(&storage)
}

/// Prepares an accepted connection, and tells its peer and its own address.
pub(super) fn accepted(fd: RawFd) -> (Option<SocketAddr>, Option<SocketAddr>) {
    let local = name_of(fd, libc::getsockname);
    if local.is_some() {
        send_at_once(fd);
    }
    (name_of(fd, libc::getpeername), local)
}

/// A listening socket, and the address it is bound to.
pub(super) fn listen(address: &ListenAddress, backlog: u32) -> Result<(Fd, Option<SocketAddr>)> {
    let family = match address {
        ListenAddress::Tcp(SocketAddr::V4(_)) => libc::AF_INET,
        ListenAddress::Tcp(SocketAddr::V6(_)) => libc::AF_INET6,
        ListenAddress::Unix(_) => libc::AF_UNIX,
    };
    let fd = stream_socket(family)?;
    let listening = match address {
        ListenAddress::Tcp(address) => listen_tcp(fd, address, backlog),
        ListenAddress::Unix(path) => listen_unix(fd, path, backlog),
    };
    match listening {
        Ok(()) => Ok((Fd(fd), name_of(fd, libc::getsockname))),
        Err(error) => {
            close(Fd(fd));
            Err(error)
        }
    }
}

fn bind_and_listen(fd: RawFd, address: &SocketAddress, backlog: u32) -> Result<()> {
    // SAFETY: the address is as long as it says.
    checked(unsafe { libc::bind(fd, (&raw const address.storage).cast(), address.bytes) })?;
    // SAFETY: plain numbers.
    checked(unsafe { libc::listen(fd, libc::c_int::try_from(backlog).unwrap_or(libc::c_int::MAX)) }).map(drop)
}

/// Bytes of replies that the kernel takes of a connection ahead of its peer: Kafka's default of `socket.send.buffer.bytes`. Left
/// to the kernel the buffer grows to megabytes, and bytes that leave the cache before the peer takes them cost both sides dear.
const SEND_BUFFER_BYTES: libc::c_int = 102_400;

fn listen_tcp(fd: RawFd, address: &SocketAddr, backlog: u32) -> Result<()> {
    set_flag(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
    // Accepted connections inherit it.
    set_option(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, SEND_BUFFER_BYTES)?;
    bind_and_listen(fd, &socket_address(address), backlog)
}

fn listen_unix(fd: RawFd, path: &Path, backlog: u32) -> Result<()> {
    let address = unix_address(path)?;
    match bind_and_listen(fd, &address, backlog) {
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_stale(&address) => {
            std::fs::remove_file(path)?;
            bind_and_listen(fd, &address, backlog)
        }
        other => other,
    }
}

fn unix_address(path: &Path) -> Result<SocketAddress> {
    // SAFETY: all-zero bytes are a valid sockaddr_storage.
    let mut storage: libc::sockaddr_storage = unsafe { zeroed() };
    // SAFETY: a sockaddr_storage is large and aligned enough for every address family.
    let unix = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_un>() };
    let name = path.as_os_str().as_bytes();
    if name.len() >= unix.sun_path.len() {
        return Err(Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    unix.sun_family = libc::AF_UNIX as _;
    for (to, from) in unix.sun_path.iter_mut().zip(name) {
        *to = *from as libc::c_char;
    }
    Ok(SocketAddress { storage, bytes: size_of::<libc::sockaddr_un>() as libc::socklen_t })
}

/// Whether a Unix socket's file has no listener behind it.
fn is_stale(address: &SocketAddress) -> bool {
    let Ok(fd) = stream_socket(libc::AF_UNIX) else { return false };
    // SAFETY: the address is as long as it says.
    let connected = checked(unsafe { libc::connect(fd, (&raw const address.storage).cast(), address.bytes) });
    close(Fd(fd));
    matches!(connected, Err(error) if error.kind() == ErrorKind::ConnectionRefused)
}

/// Sends part of a file to a non-blocking socket: the count, or `EAGAIN` when the socket has no room.
pub(super) fn send_file(fd: RawFd, file: RawFd, at: u64, bytes: usize) -> Result<u32> {
    let mut at = libc::off64_t::try_from(at).map_err(|_| Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: the position is a number of ours to be advanced.
    let sent = unsafe { libc::sendfile64(fd, file, &mut at, bytes) };
    if sent < 0 { Err(Error::last_os_error()) } else { Ok(sent as u32) }
}

/// SIGTERM and SIGINT.
fn stop_signals() -> libc::sigset_t {
    // SAFETY: the set is initialised by sigemptyset before it is used; the signal numbers exist.
    unsafe {
        let mut signals: libc::sigset_t = zeroed();
        libc::sigemptyset(&mut signals);
        libc::sigaddset(&mut signals, libc::SIGTERM);
        libc::sigaddset(&mut signals, libc::SIGINT);
        signals
    }
}

/// Keeps SIGTERM and SIGINT from this thread and those it will start, so that the descriptor gets them.
pub(in crate::io) fn block_stop_signals() {
    // SAFETY: the set is valid, the old one is not asked for.
    let result = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &stop_signals(), std::ptr::null_mut()) };
    assert!(result == 0, "the arguments are valid");
}

/// From here on the C library asks the kernel for each large allocation by itself, and returns it when it is freed. Left to itself
/// it puts those of a MiB among the small ones once it has seen one freed, and what lies between two that are in use stays.
pub(in crate::io) fn return_freed_memory() {
    // SAFETY: plain numbers.
    let taken = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES_MIN) } == 1;
    debug_assert!(taken, "the size is below what the library allows");
}

/// A descriptor that becomes readable when the process is asked to stop.
pub(super) fn stop_signal_fd() -> Result<RawFd> {
    // SAFETY: the set is valid.
    checked(unsafe { libc::signalfd(-1, &stop_signals(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) })
}

/// Takes one signal from its descriptor.
pub(super) fn take_signal(fd: RawFd) {
    // SAFETY: all-zero bytes are a valid signalfd_siginfo.
    let mut signal: libc::signalfd_siginfo = unsafe { zeroed() };
    // SAFETY: the structure is as large as stated.
    let read = unsafe { libc::read(fd, (&raw mut signal).cast(), size_of::<libc::signalfd_siginfo>()) };
    if read > 0 {
        tracing::info!(signal = signal.ssi_signo, "asked to stop");
    }
}
