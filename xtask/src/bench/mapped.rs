//! A pinned array of the program's, read from outside without a system call.

use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use aya::maps::{MapData, MapInfo};
use memmap2::{Mmap, MmapOptions};

/// The words of its rows.
pub(super) struct Mapped {
    map: Mmap,
}

impl Mapped {
    pub(super) fn new(pin: &Path) -> Result<Self> {
        let data = MapData::from_pin(pin).with_context(|| pin.display().to_string())?;
        let info: MapInfo = data.info()?;
        let length = info.value_size() as usize * info.max_entries() as usize;
        // SAFETY: rows of an array are there as long as the mapping is, and are read as single words below.
        let map = unsafe { MmapOptions::new().len(length).map(&data.fd().as_fd()) };
        Ok(Self { map: map.with_context(|| format!("mapping {}", pin.display()))? })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.map.len() / size_of::<u64>()
    }

    /// One of them as it is at this moment, for others write to it.
    pub(super) fn word(&self, at: usize) -> u64 {
        assert!(at < self.len(), "word {at} of {}", self.len());
        #[expect(clippy::cast_ptr_alignment, reason = "a mapping begins with a page")]
        let first = self.map.as_ptr().cast::<u64>();
        // SAFETY: an aligned word within the mapping; others write whole words.
        unsafe { first.add(at).read_volatile() }
    }

    /// All of them, one after the other.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> {
        (0..self.len()).map(|at| self.word(at))
    }
}
