//! Slots with generations: a key to something that is gone finds nothing, also when its slot is in use again.

use slab::Slab;

/// Names an entry of one [`Table`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// The key as a number, for the trace.
    pub(super) fn number(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }
}

/// Entries by key.
pub(super) struct Table<T> {
    slots: Slab<(u32, T)>,
    generation: u32,
}

impl<T> Table<T> {
    pub(super) fn new() -> Table<T> {
        Table { slots: Slab::new(), generation: 0 }
    }

    pub(super) fn insert(&mut self, entry: T) -> Key {
        self.generation = self.generation.wrapping_add(1);
        let index = self.slots.insert((self.generation, entry)) as u32;
        Key { index, generation: self.generation }
    }

    pub(super) fn get(&self, key: Key) -> Option<&T> {
        let (generation, entry) = self.slots.get(key.index as usize)?;
        (*generation == key.generation).then_some(entry)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let (generation, entry) = self.slots.get_mut(key.index as usize)?;
        (*generation == key.generation).then_some(entry)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        Some(self.slots.remove(key.index as usize).1)
    }

    /// Keys of the entries that `wanted` picks, in the order of their slots.
    pub(super) fn keys_where(&self, wanted: impl Fn(&T) -> bool) -> Vec<Key> {
        let picked = self.slots.iter().filter(|(_, (_, entry))| wanted(entry));
        picked.map(|(index, (generation, _))| Key { index: index as u32, generation: *generation }).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn a_key_does_not_outlive_its_entry() {
        let mut table = Table::new();
        let first = table.insert('a');
        assert_eq!(table.remove(first), Some('a'));
        let second = table.insert('b');
        assert_eq!((table.get(first), table.get(second)), (None, Some(&'b')));
        assert_eq!(table.remove(first), None);
        assert_eq!(table.keys_where(|entry| *entry == 'b'), [second]);
        assert_eq!(table.len(), 1);
    }
}
