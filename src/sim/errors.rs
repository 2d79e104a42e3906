//! Errno values that only a kernel decides on; those that the broker decides on are in [`crate::io::op::errno`].

pub(super) const EALREADY: i32 = 114;
pub(super) const EADDRNOTAVAIL: i32 = 99;
pub(super) const EBUSY: i32 = 16;
pub(super) const EFBIG: i32 = 27;
pub(super) const EISDIR: i32 = 21;
pub(super) const ENAMETOOLONG: i32 = 36;
pub(super) const ENOTCONN: i32 = 107;
pub(super) const ENOTSOCK: i32 = 88;
pub(super) const ESPIPE: i32 = 29;
pub(super) const ETIMEDOUT: i32 = 110;
pub(super) const EXDEV: i32 = 18;
