//! Curves of dots: two samples in a cell's width, four steps in its height.

/// The left and right column of a braille cell, filled from the bottom to 0..=4 dots.
const LEFT: [u32; 5] = [0, 0x40, 0x44, 0x46, 0x47];
const RIGHT: [u32; 5] = [0, 0x80, 0xa0, 0xb0, 0xb8];

/// Samples that a curve of this width shows.
#[must_use]
pub fn samples(width: u16) -> usize {
    usize::from(width) * 2
}

/// The lines of a filled curve, top first. A value above nothing shows at least one dot; an absent one shows none.
#[must_use]
pub fn curve(values: &[Option<u64>], height: u16) -> Vec<String> {
    let top = values.iter().flatten().copied().max().unwrap_or(0).max(1);
    let steps = u64::from(height) * 4;
    let level = |value: Option<&Option<u64>>| {
        let value = value.copied().flatten().unwrap_or(0);
        let dots = (u128::from(value) * u128::from(steps) + u128::from(top) / 2) / u128::from(top);
        (dots as u64).max(u64::from(value > 0)).min(steps)
    };
    // What was sampled and is nothing still has a floor, so that it differs from what was not sampled.
    let known = |value: Option<&Option<u64>>| matches!(value, Some(Some(_)));
    (0..u64::from(height))
        .rev()
        .map(|row| {
            values
                .chunks(2)
                .map(|pair| {
                    let dots = |value: Option<&Option<u64>>, column: &[u32; 5]| {
                        let here = level(value).saturating_sub(row * 4).min(4) as usize;
                        column[if row == 0 && known(value) { here.max(1) } else { here }]
                    };
                    let bits = dots(pair.first(), &LEFT) | dots(pair.get(1), &RIGHT);
                    if bits == 0 { ' ' } else { char::from_u32(0x2800 + bits).unwrap_or(' ') }
                })
                .collect()
        })
        .collect()
}

/// The cells that each of `parts` gets of `width`; they sum to it. What is not nothing gets a cell while there are enough.
#[must_use]
pub fn shares(parts: &[u64], width: u16) -> Vec<u16> {
    let whole: u128 = parts.iter().map(|part| u128::from(*part)).sum();
    if whole == 0 || width == 0 {
        return vec![0; parts.len()];
    }
    let exact = |part: u64| u128::from(part) * u128::from(width);
    let mut cells: Vec<u16> = parts.iter().map(|part| ((exact(*part) / whole) as u16).max(u16::from(*part > 0))).collect();
    // Rounding is settled where it shows least: by the largest.
    loop {
        let sum: u32 = cells.iter().map(|cell| u32::from(*cell)).sum();
        let Some(largest) = (0..cells.len()).max_by_key(|at| (cells[*at], std::cmp::Reverse(*at))) else { return cells };
        match sum.cmp(&u32::from(width)) {
            std::cmp::Ordering::Equal => return cells,
            std::cmp::Ordering::Less => {
                let Some(at) = (0..cells.len())
                    .filter(|at| parts[*at] > 0)
                    .max_by_key(|at| (exact(parts[*at]) as i128 - i128::from(cells[*at]) * whole as i128, std::cmp::Reverse(*at)))
                else {
                    return cells;
                };
                cells[at] += 1;
            }
            std::cmp::Ordering::Greater => cells[largest] -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_always_fill_the_bar() {
        for width in [1, 2, 7, 40, 196] {
            for parts in [&[1_u64, 2, 3][..], &[0, 0, 5], &[u64::MAX, 1, 1], &[1; 9], &[1 << 40, 3, 0, 7, 1 << 39]] {
                let cells = shares(parts, width);
                assert_eq!(cells.iter().sum::<u16>(), width, "{parts:?} {width}");
                assert!(parts.iter().zip(&cells).all(|(part, cell)| *part > 0 || *cell == 0), "{parts:?} {cells:?}");
            }
        }
        assert_eq!(shares(&[0, 0], 5), [0, 0]);
        assert_eq!(shares(&[1000, 1], 10), [9, 1]);
    }

    #[test]
    fn a_curve_tells_nothing_from_unknown() {
        assert_eq!(curve(&[None, None, Some(0), Some(0), Some(1), Some(4)], 1), [" ⣀⣸"]);
        let tall = curve(&[Some(8), Some(1)], 2);
        assert_eq!(tall, ["⡇", "⣇"]);
        assert!(curve(&[], 3).iter().all(String::is_empty));
    }
}
