//! Files that clients upload to a container: formats and dimensions of images.

/// Formats of images that are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP.
    Webp,
    /// GIF.
    Gif,
    /// BMP.
    Bmp,
}

impl Format {
    /// All formats, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Png, Self::Jpeg, Self::Webp, Self::Gif, Self::Bmp];

    /// The value of the label `format`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Webp => "webp",
            Self::Gif => "gif",
            Self::Bmp => "bmp",
        }
    }
}

/// Number of buckets of a [`SizeHistogram`].
pub const SIZE_BUCKETS: usize = 10;
/// The exponent of the first upper bound: 2^18 pixels are 512 × 512.
pub const SIZE_FIRST: u32 = 18;

/// A histogram of numbers of pixels. The upper bounds are powers of two from 2^18 to 2^26, and infinity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeHistogram {
    /// Samples per bucket, not cumulative.
    pub counts: [u64; SIZE_BUCKETS],
    /// The sum of all samples.
    pub sum: u64,
}

impl SizeHistogram {
    /// Counts one image.
    pub fn add(&mut self, pixels: u64) {
        let over =
            (0..SIZE_BUCKETS as u32 - 1).take_while(|bucket| pixels > 1 << (SIZE_FIRST + bucket)).count();
        self.counts[over] += 1;
        self.sum = self.sum.saturating_add(pixels);
    }
}

/// What clients have uploaded, by the first file of each request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uploads {
    /// Images whose dimensions are known.
    pub pixels: SizeHistogram,
    /// Images whose dimensions are unknown, by [`Format`].
    pub unknown: [u64; Format::ALL.len()],
    /// Uploads that are no images, as far as their first bytes show.
    pub others: u64,
}

impl Uploads {
    /// Counts an image.
    pub fn add(&mut self, format: Format, pixels: Option<u64>) {
        match pixels {
            Some(pixels) => self.pixels.add(pixels),
            None => self.unknown[format as usize] += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_in_the_bucket_of_the_next_power_of_two() {
        let mut histogram = SizeHistogram::default();
        for pixels in [1, 512 * 512, 512 * 512 + 1, 1 << 26, (1 << 26) + 1] {
            histogram.add(pixels);
        }
        assert_eq!(histogram.counts, [2, 1, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(histogram.sum, 1 + 2 * 512 * 512 + 1 + 2 * (1 << 26) + 1);
    }
}
