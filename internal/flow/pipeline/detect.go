package pipeline

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Proposal is a first service file for a repository that has none: what could
// be seen in its files. Empty fields could not be told.
type Proposal struct {
	Name      string   `json:"name,omitempty"`
	Language  string   `json:"language,omitempty"`
	Build     string   `json:"build,omitempty"`
	Test      string   `json:"test,omitempty"`
	Run       string   `json:"run,omitempty"`
	Files     []string `json:"files,omitempty"`
	Ready     string   `json:"ready,omitempty"`     // path that seems to answer when ready
	Seen      []string `json:"seen,omitempty"`      // what each proposal rests on
	Questions []string `json:"questions,omitempty"` // what only a person can know
}

// Wanted reports whether Detect looks into a file, so that a caller need not
// read a whole repository.
func Wanted(name string) bool {
	if strings.HasSuffix(name, ".go") {
		return !strings.HasSuffix(name, "_test.go") && !ignoredDir(path.Dir(name))
	}
	switch path.Base(name) {
	case "go.mod", "Procfile", "package.json", "Makefile", "Dockerfile", "Cargo.toml":
		return path.Dir(name) == "."
	case "package-lock.json", "yarn.lock", "pnpm-lock.yaml", "requirements.txt":
		return path.Dir(name) == "."
	}
	return runtimeDirs[firstPart(name)]
}

// ignoredDir: directories whose programs are not the service.
func ignoredDir(dir string) bool {
	for part := range strings.SplitSeq(dir, "/") {
		switch part {
		case "vendor", "testdata", "node_modules", "examples", "example", "hack", "tools", "scripts":
			return true
		}
		if len(part) > 1 && (part[0] == '_' || part[0] == '.') {
			return true
		}
	}
	return false
}

// runtimeDirs are directories that programs often read when they run.
var runtimeDirs = map[string]bool{"static": true, "public": true, "templates": true, "views": true, "migrations": true, "web": true, "assets": true, "config": true}

func firstPart(name string) string {
	first, _, found := strings.Cut(name, "/")
	if !found {
		return ""
	}
	return first
}

// Detect proposes how to build, test and run what is in a repository. files is
// content by path from its root; dir is the name of the repository's directory.
func Detect(dir string, files map[string][]byte) Proposal {
	d := &detection{files: files, p: Proposal{Name: serviceName(dir)}}
	procfile := d.procfile()
	switch {
	case files["go.mod"] != nil:
		d.goModule(procfile)
	case files["package.json"] != nil:
		d.node()
	case files["Cargo.toml"] != nil:
		d.rust()
	default:
		d.other()
	}
	if procfile != "" {
		d.p.Run = procfile
		d.seen("Procfile: web is run")
	}
	if d.p.Run == "" {
		d.dockerfile()
	}
	if d.p.Run == "" {
		d.ask("Which command serves? It finds the port to listen on in $PORT.")
	}
	return d.p
}

type detection struct {
	files map[string][]byte
	p     Proposal
}

func (d *detection) seen(format string, args ...any) {
	d.p.Seen = append(d.p.Seen, fmt.Sprintf(format, args...))
}

func (d *detection) ask(question string) { d.p.Questions = append(d.p.Questions, question) }

var notName = regexp.MustCompile(`[^a-z0-9-]+`)

// serviceName makes a resource name of any name, or empty.
func serviceName(s string) string {
	s = strings.Trim(notName.ReplaceAllString(strings.ToLower(s), "-"), "-")
	return strings.Trim(s[:min(len(s), 40)], "-")
}

var procfileWeb = regexp.MustCompile(`(?m)^web:[ \t]*(.+?)[ \t\r]*$`)

func (d *detection) procfile() string {
	if m := procfileWeb.FindSubmatch(d.files["Procfile"]); m != nil {
		return string(m[1])
	}
	return ""
}

var (
	goModuleLine = regexp.MustCompile(`(?m)^module[ \t]+"?([^\s"]+)`)
	goMainClause = regexp.MustCompile(`(?m)^package main\b`)
	goMainFunc   = regexp.MustCompile(`(?m)^func main\(\)`)
	goIgnored    = regexp.MustCompile(`(?m)^//go:build (ignore|tools)\b`)
	goServes     = regexp.MustCompile(`ListenAndServe|net\.Listen|http\.Serve|"net/http"`)
	majorSuffix  = regexp.MustCompile(`/v[0-9]+$`)
)

func (d *detection) goModule(procfile string) {
	d.p.Language = "go"
	if m := goModuleLine.FindSubmatch(d.files["go.mod"]); m != nil {
		module := majorSuffix.ReplaceAllString(string(m[1]), "")
		d.p.Name = serviceName(path.Base(module))
		d.seen("go.mod: module %s", m[1])
	}
	d.p.Test = "go test ./..."
	mains := d.goMains()
	if len(mains) == 0 {
		d.ask("There is no main package. Is this a library?")
		return
	}
	dir := mains[0]
	if len(mains) > 1 {
		d.ask(fmt.Sprintf("Which program serves? %s was taken; there is also %s.", dir, list(mains[1:])))
	}
	if base := path.Base(dir); dir != "." && base != "cmd" && base != "server" && base != "main" && len(mains) > 1 {
		d.p.Name = serviceName(base)
	}
	binary := "bin/" + d.p.Name
	if first, _, _ := strings.Cut(procfile, " "); strings.HasPrefix(strings.TrimPrefix(first, "./"), "bin/") {
		binary = path.Clean(first) // what the Procfile runs
	}
	target := "."
	if dir != "." {
		target = "./" + dir
	}
	d.p.Build = "go build -trimpath -o " + binary + " " + target
	d.p.Run = "./" + binary
	d.p.Files = append([]string{binary}, d.readAtRunTime()...)
	d.seen("%s: package main", dir)
	if procfile == "" {
		d.goPort(dir)
	}
	d.goReady()
}

// goMains is the directories with a program, most likely first: the one that
// serves, at the root, named like the module, under cmd.
func (d *detection) goMains() []string {
	main, fn, serves := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		text := d.files[name]
		dir := path.Dir(name)
		if !strings.HasSuffix(name, ".go") || !Wanted(name) || strings.Contains("/"+dir+"/", "/internal/") || goIgnored.Match(text) || !goMainClause.Match(text) {
			continue
		}
		main[dir] = true
		fn[dir] = fn[dir] || goMainFunc.Match(text)
		serves[dir] = serves[dir] || goServes.Match(text)
	}
	var out []string
	for dir := range main {
		if fn[dir] {
			out = append(out, dir)
		}
	}
	rank := func(dir string) int {
		r := 0
		if !serves[dir] {
			r += 8
		}
		if dir != "." && serviceName(path.Base(dir)) != d.p.Name && path.Base(dir) != "server" {
			r += 4
		}
		if dir != "." && !strings.HasPrefix(dir, "cmd/") {
			r += 2
		}
		return r
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b)) })
	return out
}

var (
	goPortEnv  = regexp.MustCompile(`"PORT"`)
	goAddrFlag = regexp.MustCompile(`(?:\.(?:String|StringVar|Flag|StringP|StringVarP|TextVar)\((?:&?[\w.]+,\s*)?)"((?:[\w-]+[.-])?(?:addr|address|listen|listen-addr|listen-address|bind))"`)
	goPortFlag = regexp.MustCompile(`(?:\.(?:Int|IntVar|Uint|UintVar|String|StringVar|IntP|StringP|Flag)\((?:&?[\w.]+,\s*)?)"((?:[\w-]+[.-])?port)"`)
)

// goPort finds out how the program learns its port.
func (d *detection) goPort(dir string) {
	var addr, port string
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		text := d.files[name]
		if !strings.HasSuffix(name, ".go") {
			continue
		}
		if goPortEnv.Match(text) {
			d.seen("%s: reads $PORT", name)
			return
		}
		if m := goAddrFlag.FindSubmatch(text); m != nil && (addr == "" || path.Dir(name) == dir) {
			addr = string(m[1])
		}
		if m := goPortFlag.FindSubmatch(text); m != nil && (port == "" || path.Dir(name) == dir) {
			port = string(m[1])
		}
	}
	switch {
	case addr != "":
		d.p.Run += " --" + addr + " 127.0.0.1:$PORT"
		d.seen("flag %s: the address to listen on", addr)
	case port != "":
		d.p.Run += " --" + port + " $PORT"
		d.seen("flag %s: the port to listen on", port)
	default:
		d.ask("The program does not seem to read $PORT, where it must listen. How is it told its port?")
	}
}

var readyPath = regexp.MustCompile(`"(?:GET )?(/(?:healthz|readyz|health|ready|ping|livez|-/ready|-/healthy))"`)

func (d *detection) goReady() {
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		if !strings.HasSuffix(name, ".go") {
			continue
		}
		if m := readyPath.FindSubmatch(d.files[name]); m != nil {
			d.p.Ready = string(m[1])
			d.seen("%s: answers %s", name, m[1])
			return
		}
	}
}

// readAtRunTime is the directories that Go code names and does not embed.
func (d *detection) readAtRunTime() []string {
	var out []string
	for _, dir := range slices.Sorted(maps.Keys(runtimeDirs)) {
		if !d.hasDir(dir) {
			continue
		}
		named := regexp.MustCompile(`(?:"(?:\./)?` + dir + `/|Dir(?:FS)?\("(?:\./)?` + dir + `")`)
		embedded := regexp.MustCompile(`(?m)^//go:embed .*\b` + dir + `\b`)
		uses := false
		for name, text := range d.files {
			if !strings.HasSuffix(name, ".go") {
				continue
			}
			if embedded.Match(text) {
				uses = false
				break
			}
			uses = uses || named.Match(text)
		}
		if uses {
			out = append(out, dir)
			d.seen("%s: named in the code, so it is shipped too", dir)
		}
	}
	return out
}

func (d *detection) hasDir(dir string) bool {
	for name := range d.files {
		if firstPart(name) == dir {
			return true
		}
	}
	return false
}

// node reads package.json.
func (d *detection) node() {
	var pkg struct {
		Name    string            `json:"name"`
		Main    string            `json:"main"`
		Scripts map[string]string `json:"scripts"`
	}
	d.p.Language = "node"
	d.p.Files = []string{"."}
	if err := json.Unmarshal(d.files["package.json"], &pkg); err != nil {
		d.ask("package.json cannot be read: " + brief(err.Error()))
		return
	}
	if name := serviceName(path.Base(pkg.Name)); pkg.Name != "" && name != "" {
		d.p.Name = name
	}
	d.seen("package.json")
	install, run := "npm install", "npm run"
	switch {
	case d.files["pnpm-lock.yaml"] != nil:
		install, run = "pnpm install --frozen-lockfile", "pnpm run"
	case d.files["yarn.lock"] != nil:
		install, run = "yarn install --frozen-lockfile", "yarn run"
	case d.files["package-lock.json"] != nil:
		install = "npm ci"
	}
	d.p.Build = install
	if pkg.Scripts["build"] != "" {
		d.p.Build += " && " + run + " build"
	}
	if t := pkg.Scripts["test"]; t != "" && !strings.Contains(t, "no test specified") {
		d.p.Test = run + " test"
	}
	switch start := pkg.Scripts["start"]; {
	case strings.HasPrefix(start, "node "):
		d.p.Run = start // without npm in between, which forwards no signals
	case start != "":
		d.p.Run = run + " start"
	case pkg.Main != "":
		d.p.Run = "node " + pkg.Main
	}
}

var cargoName = regexp.MustCompile(`(?m)^name\s*=\s*"([\w-]+)"`)

func (d *detection) rust() {
	d.p.Language = "rust"
	d.p.Build, d.p.Test = "cargo build --release", "cargo test"
	m := cargoName.FindSubmatch(d.files["Cargo.toml"])
	if m == nil {
		d.ask("Which program does the build leave in target/release?")
		return
	}
	d.p.Name = serviceName(string(m[1]))
	binary := "target/release/" + string(m[1])
	d.p.Files, d.p.Run = []string{binary}, "./"+binary
	d.seen("Cargo.toml: package %s", m[1])
	d.ask("Does the program listen on $PORT?")
}

var makeTarget = regexp.MustCompile(`(?m)^(build|test)[ \t]*:([^=]|$)`)

// other knows no language: targets of a Makefile, everything shipped.
func (d *detection) other() {
	d.p.Files = []string{"."}
	for _, m := range makeTarget.FindAllSubmatch(d.files["Makefile"], -1) {
		switch string(m[1]) {
		case "build":
			d.p.Build = "make build"
		case "test":
			d.p.Test = "make test"
		}
		d.seen("Makefile: target %s", m[1])
	}
	if d.files["requirements.txt"] != nil {
		d.p.Language = "python"
		d.p.Build = cmp.Or(d.p.Build, "python3 -m pip install --target site -r requirements.txt")
		d.seen("requirements.txt: installed into site; set PYTHONPATH=site where it runs")
	}
}

var dockerCommand = regexp.MustCompile(`(?im)^(ENTRYPOINT|CMD)[ \t]+(.+?)[ \t\r]*$`)

// dockerfile takes the last ENTRYPOINT and CMD as the command.
func (d *detection) dockerfile() {
	var entry, command string
	for _, m := range dockerCommand.FindAllSubmatch(d.files["Dockerfile"], -1) {
		text := string(m[2])
		var words []string
		if json.Unmarshal(m[2], &words) == nil {
			text = strings.Join(words, " ")
		}
		if strings.EqualFold(string(m[1]), "CMD") {
			command = text
		} else {
			entry = text
		}
	}
	if run := strings.TrimSpace(entry + " " + command); run != "" {
		d.p.Run = run
		d.seen("Dockerfile: its command")
		d.ask("The command is from the Dockerfile; does it work from the files named, with the port in $PORT?")
	}
}
