package house

// Module is the import path of the repository.
const Module = "github.com/flyball-dev/flyball"

// Room is a part of the repository with one rule: whom its packages may know.
type Room struct {
	Path  string   // folder, below the root
	What  string   // what it is, in a phrase
	May   []string // rooms it may import
	Why   string   // why those and no others
	Order []string // its own packages, * the rest; each may import those before it. Empty: none imports another
	Why2  string   // why in that order
}

// Rooms is the plan of the house, from what stands on nothing to what stands
// on everything. A package belongs to the room with the longest matching path.
var Rooms = []Room{
	{
		Path: "internal/kernel", What: "what everything stands on; knows no subject",
		Why:   "what everybody imports must not change because one subject does",
		Order: []string{"problem", "clock", "event", "projection", "resource", "operation", "action", "control"},
		Why2:  "an error and a moment come before a fact, facts before what is folded from them, and only control knows them all",
	},
	{
		Path: "internal/port", What: "interfaces to the outside, each with its conformance suite",
		May:   []string{"internal/kernel"},
		Why:   "a port says what is needed of the outside, in words that neither a subject nor an adapter owns",
		Order: []string{"image", "measure", "metric", "notify", "probe", "repository", "site", "store", "workload", "traffic"},
		Why2:  "traffic goes to what runs, so it names revisions the way workload does",
	},
	{
		Path: "internal/judge", What: "pure statistics: compares two arms",
		Why: "it is arithmetic: standing on nothing but the standard library, it can be read, tested and used alone",
	},
	{
		Path: "internal/catalog", What: "the nouns all subjects share: Service, Team, Environment",
		May:   []string{"internal/port", "internal/kernel"},
		Why:   "all subjects know these nouns, so these nouns know no subject",
		Order: []string{".", "access", "condition"},
		Why2:  "who may do what is said in terms of teams and environments",
	},
	{
		Path: "internal/flow", What: "change travels to the customer",
		May:   []string{"internal/catalog", "internal/judge", "internal/port", "internal/kernel"},
		Why:   "across wings data travels as events and Readings, so that delivery works when nobody measures",
		Order: []string{"change", "artifact", "pipeline", "release", "rollout"},
		Why2:  "the way a commit goes: what comes later knows what came before, never the other way round",
	},
	{
		Path: "internal/feedback", What: "production speaks back",
		May:   []string{"internal/catalog", "internal/judge", "internal/port", "internal/kernel"},
		Why:   "objectives hold however a change was delivered, by Flyball or beside it",
		Order: []string{"signal", "metrics", "slo", "feed", "probe", "count", "budget", "policy", "channel", "oncall", "maintenance", "support", "alert", "incident", "runbook", "status"},
		Why2:  "from counts to objectives, from objectives to what follows from them",
	},
	{
		Path: "internal/learning", What: "we get better",
		May: []string{"internal/catalog", "internal/judge", "internal/port", "internal/kernel"},
		Why: "what is learned is a fold over the same facts; nothing that acts depends on it",
	},
	{
		Path: "internal/adapter", What: "implementations of the ports",
		May:   []string{"internal/port", "internal/kernel"},
		Why:   "an adapter serves every subject alike, so it knows none; and it is replaced alone, so it knows no other adapter",
		Order: []string{"outbound", "*"},
		Why2:  "which addresses may be connected to is decided in one place",
	},
	{
		Path: "internal/adapter/prometheus", What: "metrics engines: Prometheus' own in this process, or one behind its HTTP API",
		May:   []string{"internal/port", "internal/kernel"},
		Why:   "it is adapters like the others, of one port",
		Order: []string{"query", "*"},
		Why2:  "one reading of PromQL for every engine; engines do not know each other",
	},
	{
		Path: "internal/agent", What: "the local data plane: a process of its own that outlives the server",
		May:   []string{"internal/port", "internal/kernel"},
		Why:   "it must keep serving whatever the server is or decides, so it knows nothing of either",
		Order: []string{"contract", "supervise", "proxy", ".", "agenttest"},
		Why2:  "what is written on the wire, what runs a process and what moves requests do not know each other; the agent joins them",
	},
	{
		Path: "internal/face", What: "API, command line and pages",
		May: []string{"internal/flow", "internal/feedback", "internal/learning", "internal/catalog", "internal/judge", "internal/port", "internal/kernel"},
		Why: "a face shows subjects and writes nothing except through operations; it never holds an adapter",
		// input turns what people send into an operation's input for all faces.
		Order: []string{"input", "sheet", "api", "answer", "ingest", "calendar", "statuspage", "cli", "web", "facetest"},
		Why2:  "every face decodes alike, the web is mounted beside the API and obeys the same guard, and one suite compares them all",
	},
	{
		Path: "internal/demo", What: "the story of the demo, on a sample service",
		May: []string{"internal/face", "internal/kernel", "examples"},
		Why: "it uses the product's own paths only, its command line and its HTTP API, as a user would",
	},
	{
		Path: "internal/app", What: "wiring: the explicit list of kinds, controllers and operations",
		May: []string{"internal/demo", "internal/face", "internal/flow", "internal/feedback", "internal/learning", "internal/catalog", "internal/judge",
			"internal/adapter", "internal/adapter/prometheus", "internal/agent", "internal/port", "internal/kernel"},
		Why:   "somebody has to know everybody, and one place is enough",
		Order: []string{".", "webtest"},
		Why2:  "a browser looks at all of it",
	},
	{
		Path: "internal/sim", What: "a company on a virtual clock",
		May: []string{"internal/app", "internal/face", "internal/flow", "internal/feedback", "internal/learning", "internal/catalog", "internal/judge",
			"internal/port", "internal/kernel"},
		Why: "it runs the house as app wires it, with modelled adapters of its own, so that what is tested is what runs",
	},
	{
		Path: "internal/house", What: "this order, as data and tests",
		May: []string{"internal/app", "internal/kernel"},
		Why: "it looks at the house from outside; nothing imports it",
		// The generator prints what the rules say.
		Order: []string{".", "architecture"},
		Why2:  "the generator prints the rules",
	},
	{
		Path: "cmd", What: "parse flags, hand over",
		May: []string{"internal/app"},
		Why: "a program is a name for what app puts together",
	},
	{
		Path: "bench", What: "benchmarks beside a named peer, in one run",
		May: []string{"internal/app", "internal/face", "internal/sim", "internal/flow", "internal/feedback", "internal/learning", "internal/catalog", "internal/judge",
			"internal/adapter", "internal/adapter/prometheus", "internal/agent", "internal/port", "internal/kernel"},
		Why:   "any part may be measured alone",
		Order: []string{"stage", "*"},
		Why2:  "what is measured as users get it is set up in one way",
	},
	{
		Path: "examples", What: "sample services",
		Why: "a sample is somebody else's service: it stands on nothing of ours",
	},
}

// Exception is one import that the plan alone would refuse.
type Exception struct{ From, To, Why string }

// Exceptions are few, and each has a reason.
var Exceptions = []Exception{
	{"internal/adapter/local", "internal/agent/contract", "the local adapter talks to the agent, and this is what is said between them"},
	{"internal/adapter/local", "internal/agent/supervise", "steps are started by the server under the same supervisors that the agent uses"},
	{"internal/adapter/prometheus/embedded", "internal/adapter/outbound", "scrapes are guarded like every other way out"},
	{"internal/adapter/prometheus/remote", "internal/adapter/outbound", "and so are questions to somebody else's metrics server"},
	{"internal/sim", "internal/adapter/memory", "the store a simulated company runs on"},
	{"cmd/flyball", "internal/agent", "agents live long: their process is set up before anything of the server is"},
	{"cmd/flyball", "internal/agent/supervise", "supervisors are many and tiny: nothing else may be set up in them"},
}

// Guard keeps an outside package to a few places.
type Guard struct {
	Import string   // import path, or a prefix of it that ends in /
	Only   []string // folders whose packages may import it
	Why    string
}

// Guards hold for code, not for tests and conformance suites: those use the
// real thing.
var Guards = []Guard{
	{"database/sql", []string{"internal/adapter", "bench"}, "SQL lives in store adapters alone, so that a store can be replaced"},
	{"modernc.org/", []string{"internal/adapter", "bench"}, "one database is one adapter"},
	{"github.com/jackc/", []string{"internal/adapter", "bench"}, "one database is one adapter"},
	{"net/http", []string{"internal/adapter", "internal/agent", "internal/face", "internal/app", "internal/demo", "bench", "examples"},
		"a subject decides; what it needs of the network is a port, and who asks it something comes through a face"},
	{"os/exec", []string{"internal/adapter", "internal/agent", "internal/app", "internal/demo", "bench"}, "a process is a side effect: it is started behind a port"},
	{"github.com/aws/", []string{"internal/adapter/site"}, "how requests to an object store are signed"},
	{"k8s.io/", []string{"internal/adapter"}, "an orchestrator is one way to run workloads"},
	{"github.com/prometheus/", []string{"internal/adapter", "bench"}, "a metrics store is one source of signals"},
	{"github.com/google/go-containerregistry/", []string{"internal/adapter"}, "how images are stored is behind a port"},
	{"github.com/spf13/", []string{"internal/face/cli", "internal/app", "internal/demo"}, "commands come from operations; only what is no operation is written by hand"},
	{"html/template", []string{"internal/face/web", "internal/face/statuspage"}, "pages are for people who work here, and for everybody"},
	{"go.yaml.in/", []string{"internal/kernel/resource", "internal/flow/pipeline", "internal/feedback/slo", "internal/feedback/oncall", "internal/learning/dora", "internal/face/cli"},
		"resources are decoded in one place, with file, line and column; the others read or write foreign documents, or have a key of two shapes"},
	{"github.com/go-json-experiment/", []string{"internal/kernel/event"}, "events are decoded by the million, and this is what encoding/json is to become; nobody else needs to know"},
	{"cel.dev/cel-go/", []string{"internal/flow/pipeline", "internal/catalog/condition"}, "conditions are compiled and bounded in one place; pipelines speak the language of GitHub Actions on top of it"},
	{"github.com/nicholas-fedor/", []string{"internal/adapter"}, "the long tail of channels is one adapter"},
	{"github.com/chromedp/", nil, "a browser is for tests"},
	{"pgregory.net/rapid", nil, "properties are for tests"},
}

// PureRooms import nothing but the standard library and what a guard names them
// for.
var PureRooms = []string{"internal/judge", "internal/kernel", "internal/port"}

// Bounds on the shape of the code.
const (
	KernelLines      = 3000 // lines of internal/kernel that are neither blank nor comment
	FileLines        = 800  // of one file; 500 as a rule
	InterfaceMethods = 6    // that an interface declares itself
)

// NoNames are package names that say nothing of what is inside.
var NoNames = []string{"util", "utils", "common", "types", "models", "model", "helpers", "helper", "misc", "shared", "base", "lib"}

// WallClock are the functions of package time that read or wait for the wall
// clock. Everybody else is handed a moment or a clock.
var WallClock = []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Sleep", "Tick"}

// ClockRoom is where they may be called.
const ClockRoom = "internal/kernel/clock"
