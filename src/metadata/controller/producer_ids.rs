//! Producer ids: the controller reserves them in blocks, a broker gives them out one at a time (KIP-730).

use crate::metadata::image::Image;
use crate::metadata::record::MetadataRecord;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::ProducerId;

/// How many ids a block has, as in Kafka.
pub const PRODUCER_ID_BLOCK_SIZE: i64 = 1000;

/// Ids reserved for one broker. What it has not given out when it stops is lost, which 2^63 ids allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    next: ProducerId,
    end: ProducerId,
}

impl ProducerIdBlock {
    /// A block with no ids in it, to start with.
    pub const EMPTY: ProducerIdBlock = ProducerIdBlock { next: 0, end: 0 };

    /// The next id that nobody has, if the block holds one.
    pub fn take(&mut self) -> Option<ProducerId> {
        let id = self.next;
        (id < self.end).then(|| {
            self.next += 1;
            id
        })
    }

    /// How many ids are left.
    pub fn left(&self) -> i64 {
        self.end - self.next
    }

    /// The first id left, as AllocateProducerIds answers it.
    pub fn first(&self) -> ProducerId {
        self.next
    }
}

/// Reserves the next block. Its ids may be given out once the record is applied, never before: after a crash the block
/// would be reserved again.
///
/// # Errors
/// UNKNOWN_SERVER_ERROR, as in Kafka, when 2^63 ids are used up.
pub fn allocate_block(image: &Image) -> Result<(MetadataRecord, ProducerIdBlock), ClientError> {
    let next = image.next_producer_id();
    let end = next.checked_add(PRODUCER_ID_BLOCK_SIZE).ok_or_else(|| {
        ClientError::new(ErrorCode::UnknownServerError, "All producer ids are used up: none is left below 2^63.")
    })?;
    Ok((MetadataRecord::ProducerIds { next_producer_id: end }, ProducerIdBlock { next, end }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::delta::Delta;

    #[test]
    fn blocks_follow_each_other_and_run_out_one_id_at_a_time() {
        let mut image = Image::empty();
        for start in [0, 1000, 2000] {
            let (record, mut block) = allocate_block(&image).unwrap();
            assert_eq!((block.first(), block.left()), (start, 1000));
            assert_eq!(block.take(), Some(start));
            assert_eq!(block.take(), Some(start + 1));
            let rest: Vec<_> = std::iter::from_fn(|| block.take()).collect();
            assert_eq!((rest.len(), rest.last()), (998, Some(&(start + 999))));
            assert_eq!((block.take(), block.left()), (None, 0));
            image = Delta::apply(&image, &[record], start, 0).unwrap().0;
        }
        assert_eq!(ProducerIdBlock::EMPTY.clone().take(), None);
    }

    #[test]
    fn the_last_ids_are_not_wrapped_around() {
        let used = MetadataRecord::ProducerIds { next_producer_id: i64::MAX - 999 };
        let image = Delta::apply(&Image::empty(), &[used], 0, 0).unwrap().0;
        assert_eq!(allocate_block(&image).unwrap_err().code, ErrorCode::UnknownServerError);
    }
}
