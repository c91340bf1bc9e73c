//! Keys in the table, which other CPUs may read or write at the same moment: word by word.

use crate::flow::Key;

/// Is `key` what stands at `place`, which another CPU may be writing? Read word by word.
///
/// # Safety
/// `place` is valid and aligned.
#[inline(always)]
pub(in crate::flow) unsafe fn same_at<K: Key>(key: &K, place: *const K) -> bool {
    const { assert!(align_of::<K>() == 8) };
    let (own, there) = (core::ptr::from_ref(key).cast::<u64>(), place.cast::<u64>());
    let mut word = 0;
    while word < size_of::<K>() / 8 {
        // SAFETY: both are aligned and `word` stays inside the key.
        if unsafe { own.add(word).read() != there.add(word).read_volatile() } {
            return false;
        }
        word += 1;
    }
    true
}

/// Writes `key` to `place`, word by word, for the program's stack is small.
///
/// # Safety
/// `place` is valid and aligned.
#[inline(always)]
pub(in crate::flow) unsafe fn copy<K: Key>(key: &K, place: *mut K) {
    let (from, to) = (core::ptr::from_ref(key).cast::<u64>(), place.cast::<u64>());
    let mut word = 0;
    while word < size_of::<K>() / 8 {
        // SAFETY: both are aligned and `word` stays inside the key.
        unsafe { to.add(word).write_volatile(from.add(word).read()) };
        word += 1;
    }
}
