//! A first-in-first-out queue with a named bound.

use std::collections::VecDeque;

/// A queue that holds at most `limit` items; what does not fit is handed back to the caller, who sheds or waits.
#[derive(Debug)]
pub struct Bounded<T> {
    items: VecDeque<T>,
    limit: usize,
}

impl<T> Bounded<T> {
    /// An empty queue of at most `limit` items. Allocates as it grows.
    pub fn new(limit: usize) -> Bounded<T> {
        assert!(limit > 0);
        Bounded { items: VecDeque::new(), limit }
    }

    /// Appends `item`.
    ///
    /// # Errors
    /// The item itself, when the queue is full.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.items.len() == self.limit {
            return Err(item);
        }
        self.items.push_back(item);
        Ok(())
    }

    /// Takes the oldest item.
    pub fn pop(&mut self) -> Option<T> {
        self.items.pop_front()
    }

    /// The oldest item, left in place.
    pub fn front(&self) -> Option<&T> {
        self.items.front()
    }

    /// Items in the queue.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether a push would be refused.
    pub fn is_full(&self) -> bool {
        self.items.len() == self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::Bounded;

    #[test]
    fn a_full_queue_hands_the_item_back() {
        let mut queue = Bounded::new(2);
        assert_eq!(queue.push(1), Ok(()));
        assert_eq!(queue.push(2), Ok(()));
        assert_eq!(queue.push(3), Err(3));
        assert_eq!(queue.pop(), Some(1));
        assert_eq!(queue.push(3), Ok(()));
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(2), Some(3), None));
    }
}
