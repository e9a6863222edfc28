// Package status is the public status page: what users are told about the
// services they use.
//
// A StatusPage, a file in git, lists components. Which state a component seems
// to be in follows from its objectives: their alerts, and the share of bad
// events in the last minutes. That is only a suggestion, though: it makes a
// draft, and a person puts it in words before it goes out, unless the page says
// automatic. What goes out is a notice, with updates until it is resolved; a
// component is shown in the worst state that the open notices give it. So the
// page never says anything that nobody (or, with automatic, no rule) has said.
//
// States and phases are those of Statuspage (Atlassian): operational, degraded
// performance, partial outage, major outage, under maintenance; investigating,
// identified, monitoring, resolved. The bars of 90 days are counted from the
// slots that the objectives are counted from, and a day without data is shown
// as such.
//
// A tour: resource.go is the kind; derive.go makes a state of measurements;
// decide.go is the pure decision: what is seen, what is drafted, what has to be
// written anew; state.go folds the facts of events.go; uptime.go counts days;
// view.go is the page as data, which internal/face/statuspage turns into files;
// publish.go is the action that puts them where they are served from;
// operations.go is what people do.
package status
