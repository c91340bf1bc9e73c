//! Where the program looks into arrays: each lookup is a dozen instructions. A build with the feature `count-lookups` counts them,
//! so that a test can say how many a packet costs.

use aya_ebpf::btf_maps::{Array, PerCpuArray};

/// An array of rows.
pub(crate) trait Rows<T> {
    /// The row with this number; of a map with rows for each CPU this CPU's.
    fn row(&self, number: u32) -> Option<*mut T>;
}

impl<T, const ROWS: usize, const FLAGS: usize> Rows<T> for Array<T, ROWS, FLAGS> {
    #[inline(always)]
    fn row(&self, number: u32) -> Option<*mut T> {
        count();
        self.get_ptr_mut(number)
    }
}

impl<T, const ROWS: usize, const FLAGS: usize> Rows<T> for PerCpuArray<T, ROWS, FLAGS> {
    #[inline(always)]
    fn row(&self, number: u32) -> Option<*mut T> {
        count();
        self.get_ptr_mut(number)
    }
}

/// The same number, of which the verifier knows nothing: a place in a row is remembered with all that it was computed from, and
/// each way to it followed by itself. It forgets what the upper half of a word on the stack was.
#[inline(always)]
pub(crate) fn any(number: u32) -> u32 {
    #[repr(C, align(8))]
    struct Word([u32; 2]);
    let mut word = Word([0; 2]);
    let [_, upper] = &mut word.0;
    let upper = &raw mut *upper;
    // SAFETY: a valid place.
    unsafe {
        upper.write_volatile(number);
        upper.read_volatile()
    }
}

/// How many lookups there were.
#[cfg(feature = "count-lookups")]
#[unsafe(no_mangle)]
static mut LOOKUPS: u64 = 0;

#[inline(always)]
fn count() {
    #[cfg(feature = "count-lookups")]
    // SAFETY: an aligned word. Added to without being read, so that the verifier has nothing to follow.
    unsafe {
        let _before = core::intrinsics::atomic_xadd::<u64, u64, { core::intrinsics::AtomicOrdering::Relaxed }>(
            &raw mut LOOKUPS,
            1,
        );
    }
}
