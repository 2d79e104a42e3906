//! The codecs of the record batch, in the framings that Kafka's clients use, decompressed under a bound.
//!
//! gzip: any number of members (RFC 1952). snappy: xerial's framing of 32 KiB blocks is written; it and one raw
//! snappy block are read, as clients send either. lz4: the frame format, independent blocks of 64 KiB. zstd: frames.

use std::fmt;
use std::io::{Read, Write};

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

/// The most bytes that the records of one batch may have when decompressed: what a reactor is ready to hold for a batch
/// that it must look into. A batch that turns out larger (a "bomb") is refused, or told as corrupt.
pub const DECOMPRESSED_BYTES_MAX: usize = 128 << 20;

/// How the records of a batch are compressed. The header never is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard (KIP-110).
    Zstd,
}

/// Why bytes could not be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They are not what the codec writes, or are cut short.
    Malformed,
    /// They decompress to more than the bound.
    TooLarge {
        /// The bound, in bytes.
        bytes_max: usize,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Malformed => write!(f, "the compressed records are malformed or cut short"),
            Fault::TooLarge { bytes_max } => {
                write!(f, "the records decompress to more than the {bytes_max} bytes that are held for a batch")
            }
        }
    }
}

impl std::error::Error for Fault {}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Compression {
    /// All codecs, by id.
    pub const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    /// The codec with number `id` in a batch's attributes.
    #[inline]
    pub fn from_id(id: i16) -> Option<Compression> {
        Compression::ALL.get(usize::try_from(id).ok()?).copied()
    }

    /// The codec's number in a batch's attributes.
    pub fn id(self) -> i16 {
        self as i16
    }

    /// The name that configuration uses (`compression.type`).
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    /// The codec with this name.
    pub fn from_name(name: &str) -> Option<Compression> {
        Compression::ALL.into_iter().find(|compression| compression.name() == name)
    }

    /// `bytes` compressed, at the level that Kafka's producer uses unless told otherwise.
    pub fn compress(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Compression::None => bytes.to_vec(),
            Compression::Gzip => gzip(bytes),
            Compression::Snappy => snappy_xerial(bytes),
            Compression::Lz4 => lz4(bytes),
            Compression::Zstd => zstd(bytes),
        }
    }

    /// `bytes` decompressed into at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`Fault::Malformed`] for bytes the codec did not write, [`Fault::TooLarge`] beyond the bound; no more memory
    /// than the bound and the codec's window is taken before that is known.
    pub fn decompress(self, bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, Fault> {
        match self {
            Compression::None if bytes.len() > bytes_max => Err(Fault::TooLarge { bytes_max }),
            Compression::None => Ok(bytes.to_vec()),
            Compression::Gzip => read_bounded(MultiGzDecoder::new(bytes), bytes.len(), bytes_max),
            Compression::Snappy => unsnappy(bytes, bytes_max),
            Compression::Lz4 => unlz4(bytes, bytes_max),
            Compression::Zstd => unzstd(bytes, bytes_max),
        }
    }
}

/// Capacity to begin with for `compressed` bytes: records seldom shrink to less than a quarter.
fn first_capacity(compressed: usize, bytes_max: usize) -> usize {
    compressed.saturating_mul(4).min(bytes_max)
}

fn read_bounded(decoder: impl Read, compressed: usize, bytes_max: usize) -> Result<Vec<u8>, Fault> {
    let mut decompressed = Vec::with_capacity(first_capacity(compressed, bytes_max));
    // One byte more than the bound tells "just fits" from "does not".
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(limit).read_to_end(&mut decompressed).map_err(|_| Fault::Malformed)?;
    if decompressed.len() > bytes_max { Err(Fault::TooLarge { bytes_max }) } else { Ok(decompressed) }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a Vec takes every byte")
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let frame = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
    encoder.write_all(bytes).expect("a Vec takes every byte");
    encoder.finish().expect("a Vec takes every byte")
}

/// First bytes of an lz4 frame. The decoder would also take the legacy format, which no Kafka client reads.
const LZ4_MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();

/// The decoder takes the end of its input for the end of the frame, wherever blocks meet. So the input tells whether
/// it was asked for more than it had: then the end mark is missing.
fn unlz4(bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, Fault> {
    if !bytes.starts_with(&LZ4_MAGIC) {
        return Err(Fault::Malformed);
    }
    let mut input = Input { rest: bytes, is_exhausted: false };
    let decompressed = read_bounded(FrameDecoder::new(&mut input), bytes.len(), bytes_max)?;
    if input.is_exhausted { Err(Fault::Malformed) } else { Ok(decompressed) }
}

struct Input<'a> {
    rest: &'a [u8],
    /// Whether more bytes were asked for than were left.
    is_exhausted: bool,
}

impl Read for Input<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        self.is_exhausted |= to.len() > self.rest.len();
        self.rest.read(to)
    }
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, zstd::DEFAULT_COMPRESSION_LEVEL).expect("fails only where no memory is left")
}

fn unzstd(bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, Fault> {
    /// log2 of the largest window a frame may ask for: 128 MiB, zstd's own bound and Kafka's.
    const WINDOW_LOG_MAX: u32 = 27;
    let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(|_| Fault::Malformed)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(|_| Fault::Malformed)?;
    read_bounded(decoder, bytes.len(), bytes_max)
}

/// First bytes of xerial's framing, before its version and the oldest version that can read it.
const XERIAL_MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// Magic, version and oldest compatible version, both 1, big-endian.
const XERIAL_HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// Uncompressed bytes of a block, as snappy-java cuts them.
const XERIAL_BLOCK_BYTES: usize = 32 << 10;
/// Snappy's densest element copies 64 bytes and takes 3, so a block that claims more than 22 bytes for each of its
/// own lies.
const SNAPPY_RATIO_MAX: usize = 22;

fn snappy_xerial(bytes: &[u8]) -> Vec<u8> {
    let mut framed = XERIAL_HEADER.to_vec();
    let mut encoder = snap::raw::Encoder::new();
    for block in bytes.chunks(XERIAL_BLOCK_BYTES) {
        let compressed = encoder.compress_vec(block).expect("a block is far below snappy's 4 GiB");
        let length = u32::try_from(compressed.len()).expect("a block is far below 4 GiB");
        framed.extend_from_slice(&length.to_be_bytes());
        framed.extend_from_slice(&compressed);
    }
    framed
}

fn unsnappy(bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, Fault> {
    let mut decompressed = Vec::new();
    if !bytes.starts_with(&XERIAL_MAGIC) {
        unsnappy_block(bytes, &mut decompressed, bytes_max)?;
        return Ok(decompressed);
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        // Streams may be concatenated, so a header may stand wherever a block may.
        if rest.starts_with(&XERIAL_MAGIC) {
            rest = rest.get(XERIAL_HEADER.len()..).ok_or(Fault::Malformed)?;
            continue;
        }
        let (length, behind) = rest.split_first_chunk::<4>().ok_or(Fault::Malformed)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Fault::Malformed)?;
        let (block, behind) = behind.split_at_checked(length).ok_or(Fault::Malformed)?;
        unsnappy_block(block, &mut decompressed, bytes_max)?;
        rest = behind;
    }
    Ok(decompressed)
}

/// Appends what the raw snappy block decompresses to, as long as all of it stays within `bytes_max`.
fn unsnappy_block(block: &[u8], decompressed: &mut Vec<u8>, bytes_max: usize) -> Result<(), Fault> {
    let start = decompressed.len();
    // The block begins with its decompressed size, so both bounds are checked before any memory is taken.
    let bytes = snap::raw::decompress_len(block).map_err(|_| Fault::Malformed)?;
    if bytes / SNAPPY_RATIO_MAX > block.len() {
        return Err(Fault::Malformed);
    }
    let end = start.checked_add(bytes).filter(|end| *end <= bytes_max).ok_or(Fault::TooLarge { bytes_max })?;
    decompressed.resize(end, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut decompressed[start..]);
    if written.map_err(|_| Fault::Malformed)? == bytes { Ok(()) } else { Err(Fault::Malformed) }
}
