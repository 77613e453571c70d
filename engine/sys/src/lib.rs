//! The unsafe corner of Byway, behind safe functions: checksums with the widest vectors the CPU
//! has, CPU affinity, cache prefetch, packet sockets.

pub mod affinity;
pub mod checksum;
mod memory;
pub mod packet;
mod prefetch;

pub use memory::prefer_huge_pages;
pub use prefetch::prefetch_read;
