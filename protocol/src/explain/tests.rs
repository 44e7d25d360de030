use super::*;

fn node(id: &str, state: &str) -> Node {
    Node { id: id.into(), label: id.to_owned(), state: state.to_owned(), ..Node::default() }
}

fn edge(from: &str, reason: &str, to: &str) -> Edge {
    Edge { from: from.into(), to: to.into(), reason: reason.to_owned() }
}

fn answer(node: &str, verdict: &str) -> Answer {
    Answer { node: node.into(), verdict: verdict.to_owned(), ..Answer::default() }
}

#[test]
fn a_cycle_comes_first_and_is_followed_once() {
    let explanation = Explanation {
        subject: None,
        answers: vec![Answer { since_ms: Some(1_000), others: 2, ..answer("task:a", "task:a waits for memory") }],
        cycles: vec![Cycle { nodes: vec!["task:a".into(), "memory".into()], sentence: "deadlock: task:a waits for itself".into() }],
        nodes: vec![
            node("task:a", "queued"),
            Node { more: 3, bytes: Some(64 << 20), ..node("memory", "") },
            Node { since_ms: Some(9_000), ..node("process:3", "blocked") },
        ],
        edges: vec![
            edge("task:a", "waits for", "memory"),
            edge("memory", "held by", "process:3"),
            edge("process:3", "runs", "task:a"),
            edge("process:3", "gets", "nobody"),
        ],
        more: 7,
    };
    assert_eq!(
        explanation.text(13_000),
        "deadlock: task:a waits for itself\n\
         \n\
         task:a waits for memory, for 12 s; 2 others wait as well\n\
         task:a · queued\n\
         └ waits for memory · 64 MiB\n  \
           ├ held by process:3 · blocked · for 4 s\n  \
           │ ├ runs task:a · queued · see above\n  \
           └ and 3 more\n\
         \n\
         and 7 more\n"
    );
}

#[test]
fn a_long_chain_is_cut_and_a_graph_with_holes_is_shown() {
    let nodes = (0..60).map(|at| node(&format!("n{at}"), "")).collect();
    let edges = (0..59).map(|at| edge(&format!("n{at}"), "waits for", &format!("n{}", at + 1))).collect();
    let explanation = Explanation { answers: vec![answer("n0", "waits")], nodes, edges, ..Explanation::default() };
    let text = explanation.text(0);
    assert!(text.lines().count() < 30 && text.trim_end().ends_with("and 1 more"), "{text}");
    let holes = Explanation { answers: vec![answer("gone", "waits")], edges: vec![edge("a", "b", "c")], ..Explanation::default() };
    assert_eq!(holes.text(0), "waits\n");
}

#[test]
fn it_survives_json() {
    let opens = Some(Target::Explain(Subject::Named("7f…01".into())));
    let explanation = Explanation { nodes: vec![Node { opens, ..node("a", "b") }], ..Explanation::default() };
    let json = serde_json::to_string(&explanation).unwrap();
    assert_eq!(serde_json::from_str::<Explanation>(&json).unwrap(), explanation);
    assert_eq!(serde_json::from_str::<Explanation>("{}").unwrap(), Explanation::default());
}
