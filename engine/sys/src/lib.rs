//! The unsafe corner of Byway, behind safe functions: checksums with the widest vectors the CPU
//! has, several words compared at once, hints about memory and caches, CPU affinity, the counter of time,
//! packet sockets.

pub mod affinity;
pub mod checksum;
mod lanes;
mod memory;
pub mod packet;
mod prefetch;
mod ticks;

pub use lanes::equal_lanes;
pub use memory::prefer_huge_pages;
pub use prefetch::{prefetch_read, prefetch_record};
pub use ticks::ticks;
