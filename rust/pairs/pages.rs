//! Memory for lists that are written all over the place.

use std::marker::PhantomData;

use memmap2::MmapMut;

use crate::corpus::Rank;
use crate::{Error, Result};

/// Bytes from which on large pages are asked for: the last one may be all but empty, which a small budget has no room for.
#[cfg(target_os = "linux")]
const LARGE: usize = 1 << 25;

/// Records, zero at first, in memory that goes back to the system with them: the walks of a small budget take such memory again
/// and again, and an allocator may keep it.
///
/// Many records lie in large pages where the system has them: the lists of a piece are appended to in every block, so that small
/// pages miss the address cache at most appends (10 % of the whole).
pub struct Records<T, const W: usize> {
    map: MmapMut,
    kind: PhantomData<[T; W]>,
}

impl<T: Rank, const W: usize> Records<T, W> {
    pub fn new(records: usize) -> Result<Self> {
        let bytes = (records * size_of::<[T; W]>()).max(1);
        let map = MmapMut::map_anon(bytes)
            .map_err(|error| Error::invalid("memory", error.to_string(), format!("{bytes} bytes for lists")))?;
        #[cfg(target_os = "linux")]
        if bytes >= LARGE {
            let _ = map.advise(memmap2::Advice::HugePage); // a hint: without large pages it is slower
        }
        Ok(Self { map, kind: PhantomData })
    }

    #[inline(always)]
    pub fn get(&self) -> &[[T; W]] {
        // SAFETY: a map is aligned to pages and initialised; ranks are u16 or u32, for which all bits are values.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast(), self.map.len() / size_of::<[T; W]>()) }
    }

    #[inline(always)]
    pub fn get_mut(&mut self) -> &mut [[T; W]] {
        // SAFETY: as in `get`, and the map is borrowed for as long as the slice.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().cast(), self.map.len() / size_of::<[T; W]>()) }
    }
}
