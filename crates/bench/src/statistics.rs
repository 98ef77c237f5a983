//! What a few rounds say together.
//!
//! Medians, since a round that something else disturbed must not move the figure; the least and the greatest beside
//! them, since five rounds are too few for more.

use serde::{Deserialize, Serialize};

/// The middle of some numbers and their ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The one in the middle; of an even number of them, the mean of the two.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut numbers: Vec<f64> = numbers.into_iter().collect();
        numbers.sort_by(f64::total_cmp);
        let (min, max) = (*numbers.first()?, *numbers.last()?);
        let middle = numbers.len() / 2;
        let median = if numbers.len().is_multiple_of(2) {
            f64::midpoint(numbers[middle - 1], numbers[middle])
        } else {
            numbers[middle]
        };
        Some(Spread { min, median, max })
    }

    /// Of what one side's rounds are of the other's, each by the round that was beside it.
    pub fn of_ratios(ours: &[f64], theirs: &[f64]) -> Option<Spread> {
        let pairs = ours.iter().zip(theirs).filter(|(_, theirs)| **theirs > 0.0);
        Spread::of(pairs.map(|(ours, theirs)| ours / theirs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        let spread = Spread::of([3.0, 100.0, 1.0]).expect("three");
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 3.0, 100.0));
        assert_eq!(Spread::of([4.0, 2.0]).expect("two").median, 3.0);
        assert_eq!(Spread::of([7.0]).expect("one").median, 7.0);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let spread = Spread::of_ratios(&[10.0, 30.0, 20.0], &[5.0, 10.0, 5.0]).expect("three");
        assert_eq!((spread.min, spread.median, spread.max), (2.0, 3.0, 4.0));
        assert_eq!(Spread::of_ratios(&[1.0], &[0.0]), None);
    }
}
