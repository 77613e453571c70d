//! The unsafe corner of Byway, behind safe functions: checksums with the widest vectors the CPU
//! has, CPU affinity, cache prefetch, the counter of time, packet sockets.

pub mod affinity;
pub mod checksum;
pub mod packet;
mod prefetch;
mod ticks;

pub use prefetch::{prefetch_read, prefetch_record};
pub use ticks::ticks;
