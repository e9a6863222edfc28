package rollout

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/judge"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

func judgeText(t *testing.T, text string, opts JudgeOptions) FileVerdict {
	t.Helper()
	v, err := JudgeCSV("canary.csv", strings.NewReader(text), opts)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func readJudgeFile(t testing.TB, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata/judge", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestJudgeCSVVerdicts(t *testing.T) {
	for _, tt := range []struct {
		file    string
		verdict judge.Verdict
		decided string
		reason  string
	}{
		{"healthy.csv", judge.On, "2026-03-02T09:40:00Z", "May go on: excess at most 0."},
		{"triple.csv", judge.Back, "", "Went back: E = 1"},
		{"quiet.csv", judge.Hold, "2026-03-02T09:20:00Z", "to a verdict"},
		{"no-rows.csv", judge.Hold, "null", "Held: no canary requests so far, no verdict in sight at this traffic"},
	} {
		t.Run(tt.file, func(t *testing.T) {
			v := judgeText(t, readJudgeFile(t, tt.file), JudgeOptions{})
			if v.Verdict != tt.verdict || !strings.Contains(v.Reason, tt.reason) {
				t.Errorf("%s: %q", v.Verdict, v.Reason)
			}
			if tt.decided == "null" && v.DecidedAt != nil {
				t.Errorf("decided at %v without rows", v.DecidedAt)
			} else if tt.decided != "" && tt.decided != "null" && v.DecidedAt.Format(time.RFC3339) != tt.decided {
				t.Errorf("decided at %v, want %v", v.DecidedAt, tt.decided)
			}
			if (v.EValue >= 1/v.Alpha) != (v.Verdict == judge.Back) || (v.ExcessUpper < 0.01) != (v.Verdict == judge.On) {
				t.Errorf("the numbers contradict the verdict: %+v", v)
			}
		})
	}
}

// The counts of a back are those of the crossing, not of the file.
func TestJudgeCSVStopsCountingAtTheCrossing(t *testing.T) {
	var text strings.Builder
	text.WriteString(judgeHeader + "\n")
	for i := range 360 {
		fmt.Fprintf(&text, "%d,baseline,900,5\n%d,canary,100,%d\n", 1e9+i*10, 1e9+i*10, min(i/60, 1)*40)
	}
	v := judgeText(t, text.String(), JudgeOptions{})
	bins := int64(v.DecidedAt.Unix()-1e9) / 10
	if v.Verdict != judge.Back || bins < 61 || bins > 75 || v.CanaryRequests != bins*100 || v.CanaryBad != (bins-60)*40 {
		t.Errorf("%+v", v)
	}
}

// Order, time format, line ends and missing empty arms change nothing.
func TestJudgeCSVReadsTheSameDataManyWays(t *testing.T) {
	text := readJudgeFile(t, "quiet.csv")
	want := judgeText(t, text, JudgeOptions{})
	lines := strings.Split(strings.TrimSpace(text), "\n")
	rows := lines[1:]
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	shuffled := strings.Join(lines, "\n")
	var unix []string
	for _, row := range rows {
		at, rest, _ := strings.Cut(row, ",")
		moment, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		unix = append(unix, fmt.Sprintf("%d.000,%s", moment.Unix(), rest))
	}
	for name, variant := range map[string]string{
		"shuffled":           shuffled,
		"unix with fraction": judgeHeader + "\n" + strings.Join(unix, "\n"),
		"carriage returns":   "\ufeff" + strings.ReplaceAll(shuffled, "\n", "\r\n"),
		"spaces, floats":     strings.ReplaceAll(strings.ReplaceAll(shuffled, "canary,6,", "canary, 6.0, "), "\n", "\n\n"),
		"quotes":             strings.ReplaceAll(shuffled, "canary", `"canary"`),
		"another zone":       strings.ReplaceAll(strings.ReplaceAll(shuffled, "T09:", "T11:"), "Z,", "+02:00,"),
	} {
		if got := judgeText(t, variant, JudgeOptions{}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
		}
	}
}

func TestJudgeCSVRefusesBadInput(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/judge-*.csv")
	if err != nil || len(files) < 15 {
		t.Fatal(len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(strings.TrimSuffix(file, ".csv") + ".want")
		if err != nil {
			t.Fatal(err)
		}
		_, err = JudgeCSV(filepath.Base(file), bytes.NewReader(text), JudgeOptions{})
		if problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), strings.TrimSpace(string(want))) {
			t.Errorf("%s:\n got %v\nwant %s", file, err, want)
		}
	}
}

func TestJudgeCSVRefusesBadOptionsAndReaders(t *testing.T) {
	for _, opts := range []JudgeOptions{{Alpha: 1}, {Alpha: -0.1}, {Alpha: math.NaN()}, {Tolerance: 2}, {Tolerance: math.NaN()}} {
		if _, err := JudgeCSV("x", strings.NewReader(judgeHeader), opts); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%+v: %v", opts, err)
		}
	}
	broken := errors.New("disk on fire")
	_, err := JudgeCSV("x", io.MultiReader(strings.NewReader(judgeHeader+"\n"), brokenReader{broken}), JudgeOptions{})
	if !errors.Is(err, broken) || problem.KindOf(err) != problem.Unavailable {
		t.Errorf("%v", err)
	}
	_, err = JudgeCSV("x", io.MultiReader(strings.NewReader(judgeHeader+"\n"), endless{}), JudgeOptions{})
	if err == nil || !strings.Contains(err.Error(), "x:2:1: the line is longer than 4096 bytes") {
		t.Errorf("%v", err)
	}
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '1'
	}
	return len(p), nil
}

// Three million rows go through in bounded memory, and a row that comes too
// late to be sorted is refused, not misjudged.
func TestJudgeCSVStreams(t *testing.T) {
	if testing.Short() {
		t.Skip("reads three million rows")
	}
	const bins = 1_500_000
	produce := func(tail string) io.Reader {
		r, w := io.Pipe()
		go func() {
			out := bufio.NewWriterSize(w, 1<<16)
			fmt.Fprintln(out, judgeHeader)
			for i := range bins {
				fmt.Fprintf(out, "%d,canary,2,0\n%d,baseline,20,%d\n", 1e9+i, 1e9+i, i%10/9)
			}
			fmt.Fprint(out, tail)
			_ = w.CloseWithError(out.Flush())
		}()
		return r
	}
	v, err := JudgeCSV("big.csv", produce(""), JudgeOptions{})
	if err != nil || v.Verdict != judge.On || v.CanaryRequests != 2*bins || v.DecidedAt.Unix() != 1e9+bins {
		t.Errorf("%+v, %v", v, err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.Sys > 400<<20 {
		t.Errorf("took %d MB from the system", m.Sys>>20)
	}
	_, err = JudgeCSV("big.csv", produce("1000000005,canary,1,0\n"), JudgeOptions{})
	if err == nil || !strings.Contains(err.Error(), "big.csv:3000002:1: time: more than 524288 rows late, or there twice") {
		t.Errorf("a late row: %v", err)
	}
}

func FuzzJudgeCSV(f *testing.F) {
	for _, pattern := range []string{"testdata/judge/*.csv", "testdata/bad/judge-*.csv"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			if raw, err := os.ReadFile(file); err == nil {
				f.Add(raw[:min(len(raw), 2000)])
			}
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := JudgeCSV("f.csv", bytes.NewReader(raw), JudgeOptions{})
		if err != nil {
			var p *problem.Error
			if !errors.As(err, &p) || p.Kind != problem.Invalid || len(p.Findings) == 0 || p.Findings[0].Line < 1 || p.Findings[0].Column < 1 {
				t.Fatalf("an error without a place: %v", err)
			}
			return
		}
		if _, err := json.Marshal(v); err != nil {
			t.Fatal(err)
		}
		if v.CanaryBad > v.CanaryRequests || v.Reason == "" || (v.Verdict == judge.Back) != (v.EValue >= 1/v.Alpha*(1-1e-9)) {
			t.Fatalf("%+v", v)
		}
	})
}
