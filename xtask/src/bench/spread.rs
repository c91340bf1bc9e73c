//! The least, the median and the most of some figures.

/// Where figures lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) least: f64,
    pub(super) median: f64,
    pub(super) most: f64,
}

impl Spread {
    /// Of one figure alone.
    pub(super) const fn one(figure: f64) -> Self {
        Self { least: figure, median: figure, most: figure }
    }

    /// Of at least one figure.
    pub(super) fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let (upper, lower) = (figures.len() / 2, (figures.len() - 1) / 2);
        Self {
            least: figures[0],
            median: f64::midpoint(figures[lower], figures[upper]),
            most: figures[figures.len() - 1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let spread = Spread::of([4.0, 1.0, 3.0, 10.0].into_iter());
        assert!((spread.least, spread.median, spread.most) == (1.0, 3.5, 10.0));
    }
}
