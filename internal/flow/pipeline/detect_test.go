package pipeline_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/flyball-dev/flyball/internal/flow/pipeline"
)

// Each file of testdata/detect is a repository; its first section is what is
// proposed for it.
func TestDetect(t *testing.T) {
	files, err := filepath.Glob("testdata/detect/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			repo := map[string][]byte{}
			for _, f := range a.Files[1:] {
				if pipeline.Wanted(f.Name) {
					repo[f.Name] = f.Data
				}
			}
			got, err := json.MarshalIndent(pipeline.Detect(name, repo), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			compare(t, file, a, 0, string(got)+"\n")
		})
	}
}

func FuzzDetect(f *testing.F) {
	f.Add("go.mod", []byte("module x/y/v2\n"), "main.go", []byte("package main\nfunc main() {}\n"))
	f.Add("package.json", []byte(`{"name":"@a/b","scripts":{"start":"node x"}}`), "Procfile", []byte("web: bin/x -p $PORT\n"))
	f.Add("Dockerfile", []byte("FROM x\nCMD [\"a\", \"b\"]\n"), "Makefile", []byte("build: x\ntest:\n"))
	f.Fuzz(func(t *testing.T, name1 string, text1 []byte, name2 string, text2 []byte) {
		p := pipeline.Detect("repo", map[string][]byte{name1: text1, name2: text2})
		var found findings
		if p.Build != "" && !strings.Contains(p.Build, "${{") {
			pipeline.FromCommands(p.Build, p.Test, p.Files).Check(&found)
		}
		if len(found.errors) > 0 {
			t.Errorf("%+v: %v", p, found.errors)
		}
	})
}
