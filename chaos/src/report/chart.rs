//! A run over time, as one drawing: faults as bars, and below them calls a second and how long they took.

use std::fmt::Write;

use super::{Report, series::Series};
use crate::nemesis::{Kind, Strike};

const WIDTH: f64 = 1_080.0;
const LEFT: f64 = 130.0;
const RIGHT: f64 = 14.0;
const ROW: f64 = 16.0;
const PLOT: f64 = 130.0;
const GAP: f64 = 34.0;

/// Maps milliseconds of the run to places in the drawing.
struct Scale {
    end_ms: f64,
}

impl Scale {
    fn x(&self, ms: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (ms / self.end_ms).clamp(0.0, 1.0)
    }
}

/// The drawing, as SVG that stands in a page.
pub(super) fn draw(report: &Report, series: &Series) -> String {
    let end_ms = (series.slices.len() as u64 * series.slice_ms).max(report.healed_at_ms).max(1) as f64;
    let scale = Scale { end_ms };
    let mut kinds: Vec<Kind> = report.strikes.iter().map(|strike| strike.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let lanes = kinds.len() as f64 * ROW;
    let (calls_top, times_top) = (lanes + GAP, lanes + GAP + PLOT + GAP);
    let height = times_top + PLOT + GAP;
    let mut svg = format!(r#"<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="faults, calls and times of the run">"#);
    for (lane, kind) in kinds.iter().enumerate() {
        let top = lane as f64 * ROW;
        text(&mut svg, LEFT - 8.0, top + 12.0, "end", kind.word());
        for strike in report.strikes.iter().filter(|strike| strike.kind == *kind) {
            bar(&mut svg, &scale, top, strike);
        }
    }
    shade(&mut svg, &scale, report, calls_top, times_top + PLOT);
    calls(&mut svg, &scale, series, calls_top);
    times(&mut svg, &scale, series, times_top);
    axis(&mut svg, &scale, times_top + PLOT);
    svg.push_str("</svg>");
    svg
}

fn bar(svg: &mut String, scale: &Scale, top: f64, strike: &Strike) {
    let (from, to) = (scale.x(strike.began_ms as f64), scale.x(strike.ended_ms as f64));
    let class = if strike.fired { "struck" } else { "missed" };
    let told = escape(&format!("{} {} – {}", strike.kind.word(), strike.target, strike.evidence));
    put(
        svg,
        format_args!(
            r#"<rect class="{class}" x="{from:.1}" y="{:.1}" width="{:.1}" height="{:.1}"><title>{told}</title></rect>"#,
            top + 2.0,
            (to - from).max(2.0),
            ROW - 4.0
        ),
    );
}

/// While anything was broken, the plots stand on grey.
fn shade(svg: &mut String, scale: &Scale, report: &Report, top: f64, bottom: f64) {
    for strike in report.strikes.iter().filter(|strike| strike.fired) {
        let (from, to) = (scale.x(strike.began_ms as f64), scale.x(strike.ended_ms as f64));
        put(
            svg,
            format_args!(
                r#"<rect class="broken" x="{from:.1}" y="{top:.1}" width="{:.1}" height="{:.1}"/>"#,
                (to - from).max(1.0),
                bottom - top
            ),
        );
    }
}

fn calls(svg: &mut String, scale: &Scale, series: &Series, top: f64) {
    let a_second = |count: u64| count as f64 * 1_000.0 / series.slice_ms as f64;
    let most = series.slices.iter().map(|slice| a_second(slice.answered.max(slice.failed))).fold(1.0, f64::max);
    let y = |rate: f64| top + PLOT - PLOT * rate / most;
    text(svg, LEFT - 8.0, top + 10.0, "end", &format!("{most:.0} calls/s"));
    text(svg, LEFT - 8.0, top + PLOT, "end", "0");
    line(svg, "answered", scale, series, |slice| Some(y(a_second(slice.answered))));
    line(svg, "failed", scale, series, |slice| Some(y(a_second(slice.failed))));
    text(svg, LEFT, top - 6.0, "start", "calls a second: answered (blue), without an answer (red)");
}

/// On a logarithmic scale: a stall is a thousand times an answer.
fn times(svg: &mut String, scale: &Scale, series: &Series, top: f64) {
    let (least, most) = (0.1_f64, series.slices.iter().map(|slice| slice.p99_ms).fold(10.0, f64::max));
    let y = |ms: f64| top + PLOT - PLOT * (ms.max(least) / least).ln() / (most / least).ln();
    let mut mark = 1.0;
    while mark <= most {
        put(
            svg,
            format_args!(r#"<line class="grid" x1="{LEFT}" x2="{:.1}" y1="{:.1}" y2="{:.1}"/>"#, WIDTH - RIGHT, y(mark), y(mark)),
        );
        text(svg, LEFT - 8.0, y(mark) + 4.0, "end", &format!("{mark} ms"));
        mark *= 10.0;
    }
    line(svg, "half", scale, series, |slice| (slice.answered > 0).then(|| y(slice.p50_ms)));
    line(svg, "most", scale, series, |slice| (slice.answered > 0).then(|| y(slice.p99_ms)));
    text(svg, LEFT, top - 6.0, "start", "time of an answer: half of them (blue), 99 of 100 (orange)");
}

/// A line that stops where there is nothing to show.
fn line(svg: &mut String, class: &str, scale: &Scale, series: &Series, y: impl Fn(&super::series::Slice) -> Option<f64>) {
    let mut path = String::new();
    let mut pen_is_down = false;
    for (at, slice) in series.slices.iter().enumerate() {
        let x = scale.x((at as f64 + 0.5) * series.slice_ms as f64);
        match y(slice) {
            Some(y) => {
                put(&mut path, format_args!("{}{x:.1} {y:.1} ", if pen_is_down { 'L' } else { 'M' }));
                pen_is_down = true;
            }
            None => pen_is_down = false,
        }
    }
    put(svg, format_args!(r#"<path class="{class}" d="{path}"/>"#));
}

fn axis(svg: &mut String, scale: &Scale, bottom: f64) {
    let seconds = scale.end_ms / 1_000.0;
    let steps = [1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0];
    let step = steps.into_iter().find(|step| seconds / step <= 14.0).unwrap_or(7_200.0);
    let mut at = 0.0;
    while at <= seconds {
        let label = if step >= 60.0 { format!("{:.0} min", at / 60.0) } else { format!("{at:.0} s") };
        text(svg, scale.x(at * 1_000.0), bottom + 16.0, "middle", &label);
        at += step;
    }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    put(svg, format_args!(r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{}</text>"#, escape(words)));
}

fn put(to: &mut String, what: std::fmt::Arguments<'_>) {
    to.write_fmt(what).expect("a text takes every letter");
}

/// Text that stands in HTML as it is.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
