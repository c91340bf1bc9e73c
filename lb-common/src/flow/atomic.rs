//! The atomic operations that the flow table's protocol needs, as each side has them.

/// Atomic operations on a word that several CPUs share; each is a full barrier but `load` and `store`.
pub trait Atomic {
    /// Reads the word once.
    ///
    /// # Safety
    /// `word` is valid, aligned to 8 and only changed atomically.
    unsafe fn load(word: *const u64) -> u64;
    /// Writes the word once, behind whatever was written before.
    ///
    /// # Safety
    /// As for `load`; nobody else may change the word at this moment.
    unsafe fn store(word: *mut u64, new: u64);
    /// Stores `new` if the word is `old`; says what the word was.
    ///
    /// # Safety
    /// As for `load`.
    unsafe fn compare_exchange(word: *mut u64, old: u64, new: u64) -> u64;
    /// Stores `new`; says what the word was.
    ///
    /// # Safety
    /// As for `load`.
    unsafe fn swap(word: *mut u64, new: u64) -> u64;
    /// Adds to a word of 32 bits, wrapping.
    ///
    /// # Safety
    /// `word` is valid, aligned to 4 and only changed by additions.
    unsafe fn add_32(word: *mut u32, change: u32);
}

/// The host's instructions.
#[cfg(target_has_atomic = "64")]
#[derive(Clone, Copy, Debug)]
pub struct Host;

#[cfg(target_has_atomic = "64")]
mod host {
    use core::sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Release, SeqCst},
    };

    impl super::Atomic for super::Host {
        unsafe fn load(word: *const u64) -> u64 {
            // SAFETY: the trait's contract.
            unsafe { AtomicU64::from_ptr(word.cast_mut()) }.load(SeqCst)
        }

        unsafe fn store(word: *mut u64, new: u64) {
            // SAFETY: the trait's contract.
            unsafe { AtomicU64::from_ptr(word) }.store(new, Release);
        }

        unsafe fn compare_exchange(word: *mut u64, old: u64, new: u64) -> u64 {
            // SAFETY: the trait's contract.
            let word = unsafe { AtomicU64::from_ptr(word) };
            word.compare_exchange(old, new, SeqCst, SeqCst).unwrap_or_else(|found| found)
        }

        unsafe fn swap(word: *mut u64, new: u64) -> u64 {
            // SAFETY: the trait's contract.
            unsafe { AtomicU64::from_ptr(word) }.swap(new, SeqCst)
        }

        unsafe fn add_32(word: *mut u32, change: u32) {
            // SAFETY: the trait's contract.
            unsafe { AtomicU32::from_ptr(word) }.fetch_add(change, SeqCst);
        }
    }
}
