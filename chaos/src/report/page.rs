//! The report as one page that needs nothing else: no script, no font, no picture from elsewhere.

use chaos_history::{Judgement, Operation, Verdict};

use super::{
    Report, Skipped,
    chart::{self, escape},
    doubted, headline, series,
};

const STYLE: &str = "
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1120px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #8884; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.kept { color: #1a7f37; } .violated, .undecided, .missed-word { color: #cf222e; font-weight: 600; }
.verdict { padding: .6rem 1rem; border-radius: 6px; font-size: 1.1rem; } .verdict.kept { background: #1a7f3722; } .verdict.violated { background: #cf222e22; }
pre { white-space: pre-wrap; background: #8881; padding: .6rem; border-radius: 6px; font-size: 12px; overflow-x: auto; }
svg { width: 100%; height: auto; } svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
.struck { fill: #8250df; } .missed { fill: none; stroke: #cf222e; } .broken { fill: #8881; }
path { fill: none; stroke-width: 1.4; } .answered, .half { stroke: #0969da; } .failed { stroke: #cf222e; } .most { stroke: #bc4c00; }
.grid { stroke: #8883; }
";

/// The page.
pub(super) fn of(report: &Report, operations: &[Operation]) -> String {
    let series = series::of(operations);
    let title = format!("holdfast-chaos: {}", escape(&report.name));
    let parts = [
        heading(report),
        format!("<h2>What was kept</h2>{}", verdicts(&report.verdicts)),
        format!(
            "<h2>The run over time</h2><p>Every bar is a fault, from the moment it struck until everything was as before; point at one to read what it did.</p>{}",
            chart::draw(report, &series)
        ),
        format!("<h2>Faults</h2>{}", faults(report)),
        format!(
            "<h2>Operations</h2>{}{}",
            counts(report),
            doubted(report).map(|line| format!("<p>{line}.</p>")).unwrap_or_default()
        ),
        deaths(report),
        format!("<h2>Every strike</h2>{}", strikes(report)),
        format!(
            "<h2>Do it again</h2><pre>{}</pre><p>The seed decides which fault strikes whom and when; what the threads and packets of a real cluster do meanwhile, nobody decides. \
                 <code>history.jsonl</code> beside this page holds every operation: <code>holdfast-chaos check history.jsonl</code> judges it again, without a cluster.</p>",
            escape(&report.replay)
        ),
    ];
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style></head><body>{}</body></html>\n",
        parts.concat()
    )
}

fn heading(report: &Report) -> String {
    let (class, word) = (if report.passed { "kept" } else { "violated" }, escape(&headline::of(report)));
    let busy = report.busy.map(|busy| format!("<p>While clients worked, {}.</p>", escape(&busy.to_string()))).unwrap_or_default();
    format!(
        "<h1>holdfast-chaos: {}</h1><p>{}</p><p class=\"verdict {class}\">{word}</p>\
         <p>Began {}. Faults struck for {}; with setting up, healing and judging it took {} s. Cluster: {}. Seed {}.</p>{busy}",
        escape(&report.name),
        escape(&report.plan.about),
        escape(&report.began),
        report.lasted,
        report.took_ms / 1_000,
        escape(&report.cluster),
        report.seed
    )
}

fn verdicts(verdicts: &[Verdict]) -> String {
    let row = |verdict: &Verdict| {
        let (class, word) = match verdict.judgement {
            Judgement::Kept => ("kept", "kept"),
            Judgement::Violated => ("violated", "violated"),
            Judgement::Undecided => ("undecided", "undecided"),
        };
        let mut findings = String::new();
        for finding in &verdict.findings {
            let operations: String = finding.operations.iter().map(|operation| format!("\n  {operation}")).collect();
            findings.push_str(&format!("<pre>{}</pre>", escape(&format!("{}{operations}", finding.what))));
        }
        let more = verdict.findings_total - verdict.findings.len();
        if more > 0 {
            findings.push_str(&format!("and {more} more"));
        }
        let promise = escape(&verdict.promise);
        format!(
            "<tr><td class=\"{class}\">{word}</td><td>{promise}{findings}</td><td class=\"number\">{}</td></tr>",
            verdict.looked_at
        )
    };
    let rows: String = verdicts.iter().map(row).collect();
    format!("<table><tr><th>verdict</th><th>promise</th><th class=\"number\">looked at</th></tr>{rows}</table>")
}

fn faults(report: &Report) -> String {
    let mut rows = String::new();
    for fault in &report.faults {
        let missed = if fault.missed > 0 { format!(", missed {}", fault.missed) } else { String::new() };
        rows.push_str(&format!(
            "<tr><td>{}</td><td>{}</td><td class=\"number\">{}{missed}</td><td class=\"number\">{}</td></tr>",
            fault.kind.word(),
            escape(fault.kind.about()),
            fault.struck,
            fault.wanted
        ));
    }
    for Skipped { kind, why } in &report.skipped {
        rows.push_str(&format!(
            "<tr><td>{}</td><td>{}<br>skipped: {}</td><td class=\"number\">–</td><td class=\"number\">–</td></tr>",
            kind.word(),
            escape(kind.about()),
            escape(why)
        ));
    }
    format!(
        "<table><tr><th>fault</th><th>what it does</th><th class=\"number\">struck</th><th class=\"number\">wanted</th></tr>{rows}</table>"
    )
}

fn counts(report: &Report) -> String {
    const OUTCOMES: [&str; 4] = ["done", "refused", "not done", "unknown"];
    let row = |(call, by): (&String, &std::collections::BTreeMap<String, u64>)| {
        let cells: String = OUTCOMES
            .iter()
            .map(|outcome| format!("<td class=\"number\">{}</td>", by.get(*outcome).copied().unwrap_or(0)))
            .collect();
        format!("<tr><td>{call}</td>{cells}</tr>")
    };
    let rows: String = report.operations.iter().map(row).collect();
    format!(
        "<table><tr><th>call, secret by secret</th><th class=\"number\">done</th><th class=\"number\">refused</th><th class=\"number\">not done</th>\
         <th class=\"number\">unknown</th></tr>{rows}</table><p><em>Refused</em>: the secret was not as the call wanted it. <em>Not done</em>: nobody \
         took the call, or the environment was sealed. <em>Unknown</em>: no answer came; it may have happened, and is judged both ways.</p>"
    )
}

fn deaths(report: &Report) -> String {
    if report.deaths.is_empty() {
        return String::new();
    }
    let list: String = report.deaths.iter().map(|death| format!("<pre>{}</pre>", escape(death))).collect();
    format!("<h2>Nodes that ended by themselves</h2>{list}")
}

fn strikes(report: &Report) -> String {
    let mut rows = String::new();
    for strike in &report.strikes {
        let seconds = |ms: u64| ms as f64 / 1_000.0;
        let missed = if strike.fired { "" } else { "<span class=\"missed-word\">missed: </span>" };
        rows.push_str(&format!(
            "<tr><td class=\"number\">{:.1}</td><td class=\"number\">{:.1}</td><td>{}</td><td>{}</td><td>{missed}{}</td></tr>",
            seconds(strike.began_ms),
            seconds(strike.ended_ms),
            strike.kind.word(),
            escape(&strike.target),
            escape(&strike.evidence)
        ));
    }
    format!(
        "<table><tr><th class=\"number\">from, s</th><th class=\"number\">to, s</th><th>fault</th><th>whom</th><th>how it shows</th></tr>{rows}</table>"
    )
}
