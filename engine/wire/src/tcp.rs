//! The TCP header (RFC 9293 §3.1) and the options Byway speaks.

use crate::seq::SeqNumber;
use core::fmt;
use core::ops::{BitOr, BitOrAssign};

mod header;

pub use header::{Header, MAX_OPTIONS_LEN, MIN_HEADER_LEN};

/// The control bits of a segment, in wire order.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Flags(u8);

impl Flags {
    /// No bit set.
    pub const NONE: Self = Self(0);
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgment field is significant.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer is significant.
    pub const URG: Self = Self(0x20);
    /// ECN echo.
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced.
    pub const CWR: Self = Self(0x80);

    /// The flags with these bits.
    #[inline]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The bits as on the wire.
    #[inline]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// True when every bit of `other` is set in `self`.
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// True when any bit of `other` is set in `self`.
    #[inline]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Flags {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    #[inline]
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("-");
        }
        let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
        let mut first = true;
        for (bit, name) in names.iter().enumerate() {
            if self.0 & (1 << bit) != 0 {
                if !first {
                    f.write_str("|")?;
                }
                f.write_str(name)?;
                first = false;
            }
        }
        Ok(())
    }
}

/// The window field as it is on the wire: not yet scaled, so not comparable with bytes.
//= rfc9293 3.1 MUST-1
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct WireWindow(pub u16);

/// The shift of RFC 7323 §2, at most 14.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct WindowScale(u8);

impl WindowScale {
    /// The largest shift allowed (RFC 7323 §2.3).
    pub const MAX: Self = Self(14);
    /// No scaling.
    pub const ZERO: Self = Self(0);

    /// The scale for this shift count; larger ones are used as 14, as RFC 7323 §2.3 asks.
    //= rfc7323 2.3 S2.3-1
    #[inline]
    pub const fn clamped(shift: u8) -> Self {
        if shift > 14 { Self(14) } else { Self(shift) }
    }

    /// The shift count, 0 to 14.
    #[inline]
    pub const fn shift(self) -> u8 {
        self.0
    }

    /// Bytes meant by a window field.
    //= rfc7323 2.3 S2.3-2
    #[inline]
    pub const fn widen(self, window: WireWindow) -> u32 {
        (window.0 as u32) << self.0
    }

    /// The window field for this many bytes: rounded down, cut at what 16 bits can say.
    //= rfc7323 2.3 S2.3-2
    #[inline]
    pub const fn narrow(self, bytes: u32) -> WireWindow {
        let scaled = bytes >> self.0;
        WireWindow(if scaled > 0xffff {
            0xffff
        } else {
            scaled as u16
        })
    }
}

/// The timestamps option (RFC 7323 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamps {
    /// TSval: the sender's clock, in ticks of its choosing.
    pub value: u32,
    /// TSecr: the peer's clock, echoed.
    pub echo: u32,
}

/// One block of a SACK option: `left` is the first octet, `right` the one after the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlock {
    /// First octet held.
    pub left: SeqNumber,
    /// Octet after the last one held.
    pub right: SeqNumber,
}

/// Up to four SACK blocks, as many as the option space holds (RFC 2018 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlocks {
    blocks: [SackBlock; 4],
    len: u8,
}

impl SackBlocks {
    /// Adds a block; beyond four it is left out.
    #[inline]
    pub fn push(&mut self, block: SackBlock) {
        if let Some(slot) = self.blocks.get_mut(usize::from(self.len)) {
            *slot = block;
            self.len += 1;
        }
    }

    /// The blocks, in the order of the option.
    #[inline]
    pub fn as_slice(&self) -> &[SackBlock] {
        self.blocks.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// True when there is none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The options Byway reads and writes; others are skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Maximum segment size (RFC 9293 §3.7.1), on SYN segments.
    pub mss: Option<u16>,
    /// Window scale (RFC 7323 §2), on SYN segments.
    pub window_scale: Option<WindowScale>,
    /// SACK permitted (RFC 2018 §2), on SYN segments.
    pub sack_permitted: bool,
    /// Timestamps (RFC 7323 §3).
    pub timestamps: Option<Timestamps>,
    /// SACK blocks (RFC 2018 §3).
    pub sack: SackBlocks,
}
