//! What passes one side, written down.

use crate::error::WireError;
use byway_stack::pcap::PcapWriter;
use byway_tcp::time::{Duration, Instant};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

/// A pcap file in the making.
#[derive(Debug)]
pub(crate) struct Capture {
    path: PathBuf,
    writer: PcapWriter<BufWriter<File>>,
}

impl Capture {
    pub(crate) fn create(path: &Path) -> Result<Self, WireError> {
        let writer = File::create(path).and_then(|file| PcapWriter::new(BufWriter::new(file)));
        Ok(Self {
            path: path.to_owned(),
            writer: writer.map_err(|error| WireError::file(path, &error))?,
        })
    }

    /// Writes a frame that passed `since_1970`.
    pub(crate) fn record(&mut self, since_1970: Duration, frame: &[u8]) {
        self.writer
            .record(Instant::from_nanos(0) + since_1970, frame);
    }

    pub(crate) fn finish(self) -> Result<(), WireError> {
        let finished = self.writer.finish();
        finished
            .map(drop)
            .map_err(|error| WireError::file(&self.path, &error))
    }
}
