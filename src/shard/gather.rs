//! The bytes of what was read, wherever they are: for those who replay a log of their own.

use super::read::Fetched;
use crate::base::block::Use;
use crate::io::Handle;
use crate::log::reader::Piece;

impl Fetched {
    /// All bytes in one piece.
    ///
    /// # Errors
    /// A sentence that says what cannot be read.
    pub async fn gather(&self, io: &Handle) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::with_capacity(self.bytes as usize);
        for piece in &self.pieces {
            match piece {
                Piece::Memory(slice) => bytes.extend_from_slice(slice),
                Piece::File { file, at, bytes: count } => {
                    // Bounded by what was asked for, or by one batch.
                    let block = io.pool().block_unlimited(*count as usize, Use::Staging).ok_or("out of memory")?;
                    let (block, read) = file.read_at(io, *at, block, *count).await;
                    let read = read.map_err(|error| format!("{file:?} at {at}: {error}"))?;
                    if read != *count {
                        return Err(format!("{file:?} ends {} bytes early", count - read));
                    }
                    bytes.extend_from_slice(&block[..*count as usize]);
                }
            }
        }
        Ok(bytes)
    }
}
