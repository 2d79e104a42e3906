//! Replies out of a connection: small ones from the stream of chunks, large ones into a block of their own.

use flumen::base::block::{Block, Use};
use flumen::io::Handle;
use flumen::io::socket::{Chunks, Received, Socket};

/// Bytes of a frame's size.
const SIZE_BYTES: usize = 4;
/// A block to begin with.
const BLOCK_BYTES_MIN: usize = 256 << 10;

fn frame_bytes(size: [u8; SIZE_BYTES]) -> Result<usize, String> {
    /// As large as frames may be.
    const BYTES_MAX: usize = i32::MAX as usize;
    let bytes = usize::try_from(i32::from_be_bytes(size)).ok().filter(|bytes| (4..BYTES_MAX).contains(bytes));
    bytes.ok_or_else(|| "a reply's size makes no sense: is this a Kafka listener?".to_owned())
}

/// Small replies, several of which may be on their way.
pub struct SmallFrames {
    chunks: Chunks,
    bytes: Vec<u8>,
    taken: usize,
}

impl SmallFrames {
    pub fn new(io: &Handle, socket: &Socket) -> SmallFrames {
        SmallFrames { chunks: socket.chunks(io), bytes: Vec::new(), taken: 0 }
    }

    /// A reply that is here already, without its size.
    pub fn try_next(&mut self) -> Result<Option<&[u8]>, String> {
        let rest = &self.bytes[self.taken..];
        let Some((size, behind)) = rest.split_first_chunk::<SIZE_BYTES>() else { return Ok(None) };
        let bytes = frame_bytes(*size)?;
        if behind.len() < bytes {
            return Ok(None);
        }
        let start = self.taken + SIZE_BYTES;
        self.taken = start + bytes;
        Ok(Some(&self.bytes[start..start + bytes]))
    }

    /// Receives more.
    pub async fn receive(&mut self, io: &Handle, socket: &Socket) -> Result<(), String> {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        match self.chunks.next().await.map_err(|error| error.to_string())? {
            Received::Chunk(chunk) => self.bytes.extend_from_slice(&chunk),
            Received::Closed => return Err("the broker closed the connection".to_owned()),
            Received::Stopped | Received::NoMemory => self.chunks = socket.chunks(io),
        }
        Ok(())
    }
}

/// Large replies, one at a time.
#[derive(Default)]
pub struct LargeFrames {
    block: Option<Block>,
}

impl LargeFrames {
    /// Receives the next reply; [`LargeFrames::frame`] shows it.
    pub async fn receive(&mut self, io: &Handle, socket: &Socket) -> Result<usize, String> {
        let mut filled = 0;
        let mut wanted = SIZE_BYTES;
        while filled < wanted {
            let mut block = self.block_of(io, wanted, filled)?;
            // All that is here at first; then exactly the rest.
            let (room, all) =
                if wanted == SIZE_BYTES { (block.len() - filled, false) } else { (wanted - filled, true) };
            let received = socket.receive_into(io, block, filled as u32, room as u32, all).await;
            block = received.0;
            match received.1 {
                Ok(0) => return Err("the broker closed the connection".to_owned()),
                Ok(count) => filled += count as usize,
                Err(error) => return Err(error.to_string()),
            }
            if wanted == SIZE_BYTES && filled >= SIZE_BYTES {
                wanted += frame_bytes(block[..SIZE_BYTES].try_into().expect("four bytes"))?;
            }
            self.block = Some(block);
        }
        if filled > wanted {
            return Err("the broker sent more than it was asked for".to_owned());
        }
        Ok(wanted - SIZE_BYTES)
    }

    /// The reply that was received, of `bytes`.
    pub fn frame(&self, bytes: usize) -> &[u8] {
        self.block.as_ref().map_or(&[], |block| &block[SIZE_BYTES..SIZE_BYTES + bytes])
    }

    /// The block, with room for `bytes`, the first `filled` of which are kept.
    fn block_of(&mut self, io: &Handle, bytes: usize, filled: usize) -> Result<Block, String> {
        let present = self.block.take();
        if let Some(block) = present.as_ref().filter(|block| block.len() >= bytes) {
            debug_assert!(filled <= block.len());
            return Ok(present.expect("it was just looked at"));
        }
        let capacity = bytes.next_power_of_two().max(BLOCK_BYTES_MIN);
        let mut larger = io
            .pool()
            .block_unlimited(capacity, Use::Receive)
            .ok_or_else(|| format!("no memory for a reply of {bytes} bytes"))?;
        if let Some(block) = present {
            larger[..filled].copy_from_slice(&block[..filled]);
        }
        Ok(larger)
    }
}
