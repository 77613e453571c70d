//! A cursor that writes fixed-size pieces and cannot run over the end.

/// Writes one piece after the other to the front of a slice.
pub(crate) struct Writer<'a>(&'a mut [u8]);

impl<'a> Writer<'a> {
    #[inline]
    pub(crate) const fn new(out: &'a mut [u8]) -> Self {
        Self(out)
    }

    /// `None`, and nothing written, when the piece does not fit.
    #[inline]
    pub(crate) fn put<const N: usize>(&mut self, piece: [u8; N]) -> Option<()> {
        let (head, rest) = core::mem::take(&mut self.0).split_first_chunk_mut()?;
        *head = piece;
        self.0 = rest;
        Some(())
    }
}
