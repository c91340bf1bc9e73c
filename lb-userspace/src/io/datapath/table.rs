//! A BPF array in the daemon's memory: rows are read and written without a system call, words whole.

use std::{
    ffi::c_void,
    marker::PhantomData,
    os::fd::AsFd as _,
    sync::atomic::{AtomicU64, Ordering},
};

use aya::maps::MapData;
use bytemuck::Pod;
use memmap2::{MmapOptions, MmapRaw};

/// An array map with rows of `T`, whose size is a multiple of 4, and of its alignment.
#[derive(Debug)]
pub(super) struct Table<T> {
    memory: MmapRaw,
    rows: usize,
    row: PhantomData<T>,
}

impl<T: Pod> Table<T> {
    /// The kernel rounds every row up to a multiple of 8 bytes.
    const STRIDE: usize = size_of::<T>().next_multiple_of(8);

    /// Maps an array that was created with `BPF_F_MMAPABLE`.
    pub(super) fn open(map: &MapData) -> anyhow::Result<Self> {
        let info = map.info()?;
        anyhow::ensure!(
            info.value_size() as usize == size_of::<T>(),
            "a row of the map {} has {} bytes and {} were expected",
            info.name_as_str().unwrap_or("?"),
            info.value_size(),
            size_of::<T>()
        );
        let rows = info.max_entries() as usize;
        let file = map.fd().as_fd();
        let memory = MmapOptions::new().len(rows * Self::STRIDE).map_raw(&file)?;
        Ok(Self { memory, rows, row: PhantomData })
    }

    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    fn words(&self, row: usize) -> &[AtomicU64] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        // SAFETY: the row lies inside the mapping, which is aligned to a page, and rows to 8 bytes; the kernel and
        // the program share the words, so here they are only reached atomically; who asks for a `pointer` reads and writes whole words.
        unsafe {
            let start = self.memory.as_ptr().cast::<c_void>().cast::<AtomicU64>().add(row * Self::STRIDE / 8);
            std::slice::from_raw_parts(start, Self::STRIDE / 8)
        }
    }

    /// Where a row lies: shared with the kernel and the program, for as long as the table.
    pub(super) fn pointer(&self, row: usize) -> *mut T {
        self.words(row).as_ptr().cast_mut().cast()
    }

    /// A copy of a row; words of different moments if somebody writes it meanwhile.
    pub(super) fn get(&self, row: usize) -> T {
        let words: Vec<u64> = self.words(row).iter().map(|word| word.load(Ordering::Acquire)).collect();
        bytemuck::pod_read_unaligned(&bytemuck::cast_slice(&words)[..size_of::<T>()])
    }

    /// Writes a row, its words one after the other.
    pub(super) fn set(&self, row: usize, value: &T) {
        for (word, new) in self.words(row).iter().zip(bytemuck::bytes_of(value).chunks(8)) {
            let mut bytes = [0; 8];
            bytes[..new.len()].copy_from_slice(new);
            word.store(u64::from_ne_bytes(bytes), Ordering::Release);
        }
    }

    /// Writes one word of a row at `offset` bytes: readers see the old one or the new one.
    pub(super) fn set_word<W: Pod>(&self, row: usize, offset: usize, value: &W) {
        assert!(offset.is_multiple_of(8) && size_of::<W>() == 8, "only whole words are seen in one piece");
        self.words(row)[offset / 8]
            .store(bytemuck::pod_read_unaligned(bytemuck::bytes_of(value)), Ordering::Release);
    }

    /// Puts one word of a row in the place of another, if that is still there.
    pub(super) fn change_word<W: Pod>(&self, row: usize, offset: usize, old: &W, new: &W) -> bool {
        assert!(offset.is_multiple_of(8) && size_of::<W>() == 8, "only whole words are seen in one piece");
        let [old, new] = [old, new].map(|word| bytemuck::pod_read_unaligned(bytemuck::bytes_of(word)));
        let word = &self.words(row)[offset / 8];
        word.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// One word of a row at `offset` bytes.
    pub(super) fn word<W: Pod>(&self, row: usize, offset: usize) -> W {
        assert!(offset.is_multiple_of(8) && size_of::<W>() == 8, "only whole words are seen in one piece");
        bytemuck::pod_read_unaligned(&self.words(row)[offset / 8].load(Ordering::Acquire).to_ne_bytes())
    }
}
