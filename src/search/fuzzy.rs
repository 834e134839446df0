//! How far two texts are apart.

/// The greatest distance that a fuzzy clause may ask for.
pub(super) const MAX_DISTANCE: usize = 2;

/// Steps from one text to the other, if there are at most `most`. A step is a character added, taken away, changed, or two
/// neighbours swapped (spec/matchmaker.md 8.3). `most` is at most [`MAX_DISTANCE`].
pub(super) fn distance(one: &str, other: &str, most: usize) -> Option<usize> {
    const WIDTH: usize = 2 * MAX_DISTANCE + 1;
    const FAR: usize = MAX_DISTANCE + 1;
    let other: Vec<char> = other.chars().collect();
    let one: Vec<char> = one.chars().collect();
    if one.len().abs_diff(other.len()) > most {
        return None;
    }
    // Row by row through the table of distances between beginnings, along its diagonal only: what is further away than
    // `MAX_DISTANCE` costs more than may be spent. Cell `cell` of row `row` is column `row + cell - MAX_DISTANCE`.
    let (mut before, mut last) = ([FAR; WIDTH], [FAR; WIDTH]);
    for (cell, distance) in last.iter_mut().enumerate().skip(MAX_DISTANCE) {
        *distance = cell - MAX_DISTANCE;
    }
    for row in 1..=one.len() {
        let mut current = [FAR; WIDTH];
        for cell in 0..WIDTH {
            let Some(column) = (row + cell).checked_sub(MAX_DISTANCE).filter(|column| *column <= other.len()) else {
                continue;
            };
            if column == 0 {
                current[cell] = row.min(FAR);
                continue;
            }
            let is_same = one[row - 1] == other[column - 1];
            let mut best = last[cell] + usize::from(!is_same);
            if cell + 1 < WIDTH {
                best = best.min(last[cell + 1] + 1);
            }
            if cell > 0 {
                best = best.min(current[cell - 1] + 1);
            }
            let is_swap =
                row > 1 && column > 1 && one[row - 1] == other[column - 2] && one[row - 2] == other[column - 1];
            if is_swap {
                best = best.min(before[cell] + 1);
            }
            current[cell] = best.min(FAR);
        }
        (before, last) = (last, current);
    }
    let result = last[other.len() + MAX_DISTANCE - one.len()];
    (result <= most).then_some(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_edit_is_one_step() {
        for (one, other, steps) in [
            ("", "", 0),
            ("foo", "foo", 0),
            ("foo", "fo", 1),
            ("fo", "foo", 1),
            ("foo", "fou", 1),
            ("foo", "ofo", 1),
            ("größe", "grösse", 2),
            ("ca", "ac", 1),
            ("abcd", "badc", 2),
            ("", "ab", 2),
            ("ab", "", 2),
        ] {
            assert_eq!(distance(one, other, 2), Some(steps), "{one} {other}");
        }
        for (one, other) in [("", "abc"), ("abc", "xyz"), ("foo", "bar"), ("kitten", "sitting")] {
            assert_eq!(distance(one, other, 2), None, "{one} {other}");
        }
        assert_eq!(distance("foo", "fu", 1), None);
        assert_eq!(distance("foo", "fox", 0), None);
    }

    proptest! {
        #[test]
        fn the_diagonal_agrees_with_the_whole_table(one in "[abc]{0,7}", other in "[abc]{0,7}") {
            let whole = whole_table(&one, &other);
            prop_assert_eq!(distance(&one, &other, 2), (whole <= 2).then_some(whole));
        }
    }

    fn whole_table(one: &str, other: &str) -> usize {
        let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
        let mut table = vec![vec![0; other.len() + 1]; one.len() + 1];
        for row in 0..=one.len() {
            for column in 0..=other.len() {
                if row == 0 || column == 0 {
                    table[row][column] = row + column;
                    continue;
                }
                let changed = usize::from(one[row - 1] != other[column - 1]);
                let mut best = table[row - 1][column - 1] + changed;
                best = best.min(table[row - 1][column] + 1).min(table[row][column - 1] + 1);
                if row > 1 && column > 1 && one[row - 1] == other[column - 2] && one[row - 2] == other[column - 1] {
                    best = best.min(table[row - 2][column - 2] + 1);
                }
                table[row][column] = best;
            }
        }
        table[one.len()][other.len()]
    }
}
