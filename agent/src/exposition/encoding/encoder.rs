//! The interface to a format.

use bytes::BytesMut;

use crate::{
    exposition::{
        family::Family,
        sample::{Resolution, Value},
    },
    snapshot::{gpu::RatioHistogram, scheduler::Histogram, uploads::SizeHistogram},
};

/// A format. The samples of one family come between [`Encoder::begin`] and [`Encoder::end`].
pub trait Encoder {
    /// Appends one label to `set`. A set is opaque bytes: the set of a subject is rendered once and passed with each of
    /// its samples. A prefix of a set that ends after a label is a valid set, too.
    fn label(&self, set: &mut BytesMut, name: &str, value: &str);

    /// A comment for people who read the text; programs ignore it.
    fn comment(&mut self, text: &str);

    /// Starts a family. It may have no samples.
    fn begin(&mut self, family: &'static Family);

    /// A sample of a counter or gauge. `labels` are values for [`Family::labels`].
    fn value(&mut self, set: &[u8], labels: &[&str], value: Value);

    /// A sample of a histogram in the kernel's buckets, which suit classic and native histograms.
    fn histogram(&mut self, set: &[u8], labels: &[&str], histogram: &Histogram, resolution: Resolution);

    /// A sample of a histogram of ratios, in twentieths.
    fn ratios(&mut self, set: &[u8], labels: &[&str], histogram: &RatioHistogram);

    /// A sample of a histogram of sizes, in powers of two.
    fn sizes(&mut self, set: &[u8], labels: &[&str], histogram: &SizeHistogram);

    /// Ends the family.
    fn end(&mut self);
}
