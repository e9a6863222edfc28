package catalog

import (
	"reflect"
	"testing"
)

func TestParseMember(t *testing.T) {
	for s, want := range map[string]Member{
		"ana":                                   {Name: "ana"},
		"ana <ana@example.org>":                 {Name: "ana", Aliases: []string{"ana@example.org"}},
		" ana  <ana@example.org><Ana Lovelace>": {Name: "ana", Aliases: []string{"ana@example.org", "Ana Lovelace"}},
		"ana <>":                                {Name: "ana"},
		"":                                      {},
	} {
		if got := ParseMember(s); !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %+v, want %+v", s, got, want)
		}
	}
}

func FuzzParseMember(f *testing.F) {
	f.Add("ana <ana@example.org> <Ana Lovelace>")
	f.Add("<<>>")
	f.Fuzz(func(t *testing.T, s string) {
		if m := ParseMember(s); len(m.Name)+len(m.Aliases) > len(s) {
			t.Errorf("%q gives more than there is: %+v", s, m)
		}
	})
}
