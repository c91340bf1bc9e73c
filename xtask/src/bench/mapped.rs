//! A pinned array of the program's, read from outside without a system call.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::slice;
use std::sync::atomic::AtomicU64;

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

    /// All of them; others write to them.
    pub(super) fn words(&self) -> &[AtomicU64] {
        let words = self.map.len() / size_of::<u64>();
        #[expect(clippy::cast_ptr_alignment, reason = "a mapping begins with a page")]
        let first = self.map.as_ptr().cast::<AtomicU64>();
        // SAFETY: so many aligned words lie in the mapping, which lives as long; others write whole words, and here none is written.
        unsafe { slice::from_raw_parts(first, words) }
    }
}
