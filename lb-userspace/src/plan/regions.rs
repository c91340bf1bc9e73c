//! Which rows of a map nobody has: services get regions of `members` and give them back.

use std::collections::BTreeMap;

/// The free rows of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regions {
    /// By its first row, how many rows each free region has; no two of them touch.
    free: BTreeMap<u32, u32>,
}

impl Regions {
    /// All rows of a map are free.
    pub fn new(rows: u32) -> Self {
        Self { free: BTreeMap::from([(0, rows)]) }
    }

    /// The first row of the lowest region that is large enough, which is free no longer.
    pub fn take(&mut self, rows: u32) -> Option<u32> {
        let (&first, &free) = self.free.iter().find(|&(_, free)| *free >= rows)?;
        self.free.remove(&first);
        if free > rows {
            self.free.insert(first + rows, free - rows);
        }
        Some(first)
    }

    /// Lets a region that was taken be free again.
    pub fn give_back(&mut self, first: u32, rows: u32) {
        let (mut first, mut end) = (first, first + rows);
        if let Some(behind) = self.free.remove(&end) {
            end += behind;
        }
        if let Some((&before, &free)) = self.free.range(..first).next_back()
            && before + free == first
        {
            first = before;
        }
        self.free.insert(first, end - first);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_region_is_taken_where_it_fits_first() {
        let mut regions = Regions::new(10);
        assert_eq!([4, 4, 3, 2].map(|rows| regions.take(rows)), [Some(0), Some(4), None, Some(8)]);
        regions.give_back(0, 4);
        regions.give_back(8, 2);
        assert_eq!([5, 2, 2].map(|rows| regions.take(rows)), [None, Some(0), Some(2)]);
    }

    proptest! {
        /// No row is in two regions, and when all came back they are one.
        #[test]
        fn regions_do_not_overlap_and_nothing_is_lost(sizes in prop::collection::vec((1..20u32, any::<bool>()), 1..200)) {
            const ROWS: u32 = 300;
            let mut regions = Regions::new(ROWS);
            let mut taken: Vec<(u32, u32)> = Vec::new();
            for (rows, gives_back) in sizes {
                if gives_back && !taken.is_empty() {
                    let (first, rows) = taken.swap_remove(rows as usize % taken.len());
                    regions.give_back(first, rows);
                } else if let Some(first) = regions.take(rows) {
                    prop_assert!(first + rows <= ROWS);
                    for &(other, size) in &taken {
                        prop_assert!(first + rows <= other || other + size <= first);
                    }
                    taken.push((first, rows));
                }
            }
            for (first, rows) in taken {
                regions.give_back(first, rows);
            }
            prop_assert_eq!(regions, Regions::new(ROWS));
        }
    }
}
