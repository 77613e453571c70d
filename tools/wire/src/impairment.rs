//! What a link does to frames in one direction.

use crate::units::{QueueLimit, Rate, Share};
use std::time::Duration;

/// One direction of a link: a bottleneck with a queue, then a line of some length on which frames
/// get lost, damaged, doubled and out of order. The default does nothing at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Impairment {
    /// Bits per second that the bottleneck lets through, Ethernet headers counted; none for no
    /// bottleneck.
    pub rate: Option<Rate>,
    /// What may wait before the bottleneck. What comes on top is dropped.
    pub queue: QueueLimit,
    /// How long a frame travels.
    pub delay: Duration,
    /// How far the delay strays to both sides, evenly distributed. Frames keep their order all the
    /// same: one that would overtake arrives together with the one before it.
    pub jitter: Duration,
    /// How many frames get lost.
    pub loss: Share,
    /// How many frames in a row get lost, on average; `loss` stays the share of all. None for each
    /// frame on its own, whatever happened to the one before.
    pub loss_burst: Option<f64>,
    /// How many frames arrive out of their order.
    pub reorder: Share,
    /// How a frame gets out of order.
    pub reorder_by: ReorderBy,
    /// How many frames arrive twice.
    pub duplicate: Share,
    /// How many frames arrive with a burst of up to 15 wrong bits behind the Ethernet header. Only
    /// IP packets are damaged: they have checksums that find every such burst in what they cover,
    /// whereas ARP would believe it.
    pub corrupt: Share,
}

/// How a frame gets out of order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReorderBy {
    /// It has no delay, and overtakes everything on the line.
    #[default]
    NoDelay,
    /// It arrives later by this much, and is overtaken by what is behind it.
    Late(Duration),
}

/// Frames that wait before a bottleneck unless told otherwise: as many as Linux lets wait.
pub const DEFAULT_QUEUE: QueueLimit = QueueLimit::Frames(1000);

impl Default for Impairment {
    fn default() -> Self {
        Self {
            rate: None,
            queue: DEFAULT_QUEUE,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: Share::NONE,
            loss_burst: None,
            reorder: Share::NONE,
            reorder_by: ReorderBy::NoDelay,
            duplicate: Share::NONE,
            corrupt: Share::NONE,
        }
    }
}

impl Impairment {
    /// Checks that the settings make sense together.
    ///
    /// # Errors
    /// One line: what does not, and what to do about it.
    pub fn check(&self) -> Result<(), String> {
        let reorders = self.reorder > Share::NONE;
        if self.jitter > self.delay {
            return Err("jitter is more than the delay: frames would arrive early".to_owned());
        }
        if reorders && self.reorder_by == ReorderBy::NoDelay && self.delay.is_zero() {
            return Err("without a delay there is nothing to overtake: \
                        give a delay, or say how late reordered frames are"
                .to_owned());
        }
        match self.loss_burst {
            None => Ok(()),
            Some(burst) if !(1.0..=1e6).contains(&burst) => {
                Err("bursts of losses are 1 to 1000000 frames long".to_owned())
            }
            // Between two bursts at least one frame gets through.
            Some(burst) if self.loss.fraction() > burst / (burst + 1.0) => Err(format!(
                "no more than {:.1}% can get lost in bursts of {burst} frames",
                100.0 * burst / (burst + 1.0)
            )),
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(fraction: f64) -> Share {
        Share::new(fraction).unwrap()
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let ms = Duration::from_millis;
        let none = Impairment::default();
        assert_eq!(none.check(), Ok(()));
        let refused = [
            Impairment {
                delay: ms(1),
                jitter: ms(2),
                ..none.clone()
            },
            Impairment {
                reorder: share(0.1),
                ..none.clone()
            },
            Impairment {
                loss: share(0.6),
                loss_burst: Some(1.0),
                ..none.clone()
            },
            Impairment {
                loss_burst: Some(0.5),
                ..none.clone()
            },
            Impairment {
                loss_burst: Some(f64::NAN),
                ..none.clone()
            },
        ];
        for impairment in refused {
            assert!(impairment.check().is_err(), "{impairment:?}");
        }
        let accepted = Impairment {
            delay: ms(2),
            jitter: ms(2),
            reorder: share(1.0),
            loss: share(0.5),
            loss_burst: Some(1.0),
            ..none.clone()
        };
        assert_eq!(accepted.check(), Ok(()));
        let late = Impairment {
            reorder: share(0.1),
            reorder_by: ReorderBy::Late(ms(1)),
            ..none
        };
        assert_eq!(late.check(), Ok(()));
    }
}
