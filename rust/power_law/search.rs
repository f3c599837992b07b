//! What the fits search with: columns of a shape parameter, two-column least squares, the end of a bracketed descent.

/// (e^(b u) - 1) / b, u at b = 0.
pub(super) fn box_cox(b: f64, u: f64) -> f64 {
    if b == 0.0 { u } else { libm::expm1(b * u) / b }
}

/// Its derivative in b: (b u e^(b u) - e^(b u) + 1) / b^2; as a series where that cancels.
pub(super) fn box_cox_derivative(b: f64, u: f64) -> f64 {
    let z = b * u;
    if z.abs() < 0.03 {
        // u^2 sum over k of z^k / (k! (k + 2)); the first term left out is 1e-15 of the sum
        return u
            * u
            * (0.5
                + z * (1.0 / 3.0 + z * (0.125 + z * (1.0 / 30.0 + z * (1.0 / 144.0 + z / 840.0 + z * z / 5760.0)))));
    }
    (z * libm::exp(z) - libm::expm1(z)) / (b * b)
}

/// Weighted least squares of `target` on `column` and `ones`: (coefficient of the column, of the ones).
pub(super) fn regress(column: &[f64], ones: &[f64], target: &[f64], weights: &[f64]) -> (f64, f64) {
    let (mut oo, mut oc, mut ot) = (0.0, 0.0, 0.0);
    for i in 0..column.len() {
        let weighted = weights[i] * ones[i];
        oo += weighted * ones[i];
        oc += weighted * column[i];
        ot += weighted * target[i];
    }
    let (column_level, target_level) = (oc / oo, ot / oo);
    let (mut cc, mut ct) = (0.0, 0.0);
    for i in 0..column.len() {
        let away = column[i] - column_level * ones[i];
        cc += weights[i] * away * away;
        ct += weights[i] * away * (target[i] - target_level * ones[i]);
    }
    let slope = ct / cc;
    (slope, target_level - slope * column_level)
}

pub(super) fn lowest(profile: &[f64]) -> usize {
    (0..profile.len()).filter(|&k| !profile[k].is_nan()).min_by(|&a, &b| profile[a].total_cmp(&profile[b])).unwrap_or(0)
}

/// The minimum between `left` and `right` of a function that is lowest at `middle` among the three, from its slope:
/// bracketed secant steps (Illinois) on the side where the slope points down, bisection where they stall.
pub(super) fn descend(left: f64, middle: f64, right: f64, mut slope: impl FnMut(f64) -> f64) -> f64 {
    let at_middle = slope(middle);
    if at_middle == 0.0 || at_middle.is_nan() {
        return middle;
    }
    let (mut a, mut slope_a) = (middle, at_middle);
    let mut b = if at_middle > 0.0 { left } else { right };
    if a == b {
        return a; // at the end of the range
    }
    let mut slope_b = slope(b);
    if slope_b * slope_a > 0.0 || slope_b.is_nan() {
        // The function falls at both ends: its minimum is at b, or between in a second valley that the grid did not see.
        if b == left || b == right {
            let inside = 0.5 * (a + b);
            slope_b = slope(inside);
            if slope_b * slope_a > 0.0 {
                return b;
            }
            b = inside;
        }
    }
    let mut last_width = (b - a).abs();
    for step in 0..200 {
        let secant = a - slope_a * (b - a) / (slope_b - slope_a);
        let width = (b - a).abs();
        let inside = (secant - a) * (secant - b) < 0.0;
        let next = if inside && (step % 3 != 2 || width < 0.5 * last_width) { secant } else { 0.5 * (a + b) };
        if step % 3 == 2 {
            last_width = width;
        }
        let at_next = slope(next);
        if at_next == 0.0 {
            return next;
        }
        if at_next * slope_b < 0.0 {
            (a, slope_a) = (b, slope_b);
        } else {
            slope_a *= 0.5;
        }
        let moved = (next - b).abs();
        (b, slope_b) = (next, at_next);
        if moved <= 1e-15 * next.abs() || (b - a).abs() <= 4.0 * f64::EPSILON * b.abs().max(f64::MIN_POSITIVE) {
            break;
        }
    }
    b
}
