package api_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/face/facetest"
)

func TestFacesAgree(t *testing.T) {
	s := memory.New(memory.Options{})
	facetest.Agree(t, s.Log(), append((&fixture{}).operations(), api.EventOperations(s)...))
}

func TestDocumentIsServedAndStable(t *testing.T) {
	f := start(t)
	r := f.do("GET", "/api/v1/openapi.json", "")
	if r.status != 200 || r.header.Get("Content-Type") != "application/json" {
		t.Fatal(r.status, r.header)
	}
	facetest.Document(t, []byte(r.body))
	ops := append(f.operations(), api.EventOperations(f.store)...)
	slices.Reverse(ops)
	again, err := api.Document(ops, "1.2.3")
	if err != nil || !bytes.Equal(again, []byte(r.body)) {
		t.Error("the document depends on the order of the operations")
	}
	for _, part := range []string{`"version": "1.2.3"`, `"/api/v1/widgets/{widget}/make"`, `"writeOnly": true`, `"x-flyball-role": "operator"`, `"enum": [`} {
		if !strings.Contains(r.body, part) {
			t.Errorf("the document does not hold %s", part)
		}
	}
	if strings.Contains(r.body, "measure") {
		t.Error("the document holds a local operation")
	}
}
