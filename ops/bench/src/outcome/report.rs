//! The report for people.

use std::io::{self, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::summary::{Goal, NodeShare, Ratio, Row, Summary};

/// Others that take more of the machine than this make the figures doubtful.
const FOREIGN_SHARE_MAX: f64 = 0.03;

/// Writes the rows, the ratios, and what has to be known to read them.
pub(crate) fn write(out: &mut dyn Write, summary: &Summary) -> io::Result<()> {
    let about = &summary.about;
    writeln!(out, "{}", about.stage)?;
    writeln!(out, "{} s a row, median of {} rounds", about.seconds, about.rounds)?;
    if !about.nodes.is_empty() {
        writeln!(out, "by node: {}; led by {}", about.nodes.join(", "), about.leaders.join(", at the end by "))?;
    }
    let titles =
        ["WORK", "IN FLIGHT", "PER SECOND", "P50", "P99", "MAX", "SERVER CPU", "CLIENT CPU", "BY NODE", "P50 BY NODE", "ERRORS"];
    write_table(out, &titles, summary.rows.iter().map(cells))?;
    if !summary.ratios.is_empty() {
        let titles = ["COMPARED, WITHIN EACH ROUND", "MEDIAN", "LEAST", "MOST", "GOAL", ""];
        write_table(out, &titles, summary.ratios.iter().map(compared))?;
    }
    writeln!(out)?;
    for row in &summary.rows {
        if let Some(error) = &row.first_error {
            writeln!(out, "{} with {} in flight: {} errors, the first: {error}", row.title, row.measure.in_flight, row.errors)?;
        }
    }
    if let Some(share) = about.foreign_cpu_share_max.filter(|share| *share > FOREIGN_SHARE_MAX) {
        let percent = share * 100.0;
        writeln!(out, "other processes took up to {percent:.0} % of the machine: compare ratios and CPU, not rates")?;
    }
    Ok(())
}

fn cells(row: &Row) -> Vec<String> {
    let each = |text: &dyn Fn(&NodeShare) -> String| match row.by_node.as_slice() {
        [] | [_] => String::new(),
        nodes => nodes.iter().map(text).collect::<Vec<_>>().join(" / "),
    };
    vec![
        row.title.to_owned(),
        row.measure.in_flight.to_string(),
        thousands(row.per_second),
        time(row.p50_us),
        time(row.p99_us),
        time(row.max_us),
        row.server_cpu_us.map(time).unwrap_or_default(),
        time(row.client_cpu_us),
        each(&|node| format!("{:.0} %", node.share * 100.0)),
        each(&|node| time(node.p50_us)),
        row.errors.to_string(),
    ]
}

fn compared(ratio: &Ratio) -> Vec<String> {
    let goal = match ratio.goal {
        Some(Goal::AtLeast(bound)) => format!("≥ {bound}"),
        Some(Goal::AtMost(bound)) => format!("≤ {bound}"),
        None => String::new(),
    };
    let verdict = match ratio.is_reached() {
        Some(true) => "reached",
        Some(false) => "not reached",
        None => "",
    };
    let figure = |figure: f64| format!("{figure:.2}");
    vec![ratio.name.clone(), figure(ratio.median), figure(ratio.least), figure(ratio.most), goal, verdict.to_owned()]
}

/// Microseconds, or milliseconds where there are many.
fn time(us: f64) -> String {
    match us {
        us if us < 10.0 => format!("{us:.1} µs"),
        us if us < 1000.0 => format!("{us:.0} µs"),
        us => format!("{:.2} ms", us / 1000.0),
    }
}

/// A whole number in groups of three digits.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn write_table(out: &mut dyn Write, titles: &[&str], rows: impl Iterator<Item = Vec<String>>) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(titles);
    table.add_rows(rows);
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    writeln!(out)?;
    for line in table.to_string().lines() {
        // The first column stands at the edge, and no line ends in blanks.
        writeln!(out, "{}", line.strip_prefix(' ').unwrap_or(line).trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        assert_eq!([thousands(0.4), thousands(999.6), thousands(1_234_567.0)], ["0", "1,000", "1,234,567"]);
        assert_eq!([time(1.24), time(310.4), time(12_345.0)], ["1.2 µs", "310 µs", "12.35 ms"]);
    }

    #[test]
    fn a_missed_goal_is_said() {
        let ratio = Ratio { name: "a".into(), median: 0.5, least: 0.4, most: 0.6, goal: Some(Goal::AtLeast(0.7)) };
        assert_eq!(compared(&ratio), ["a", "0.50", "0.40", "0.60", "≥ 0.7", "not reached"]);
    }
}
