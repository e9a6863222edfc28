package main

import "fmt"

type product struct {
	ID    string
	Name  string
	Cents int
}

var catalogue = []product{
	{"1", "Governor, brass", 12900}, {"2", "Governor, steel", 9900}, {"3", "Fly balls, pair", 2450}, {"4", "Throttle valve", 4990},
	{"5", "Throttle linkage", 1890}, {"6", "Drive belt", 790}, {"7", "Spindle", 3300}, {"8", "Sleeve bearing", 1150},
	{"9", "Return spring", 420}, {"10", "Sight glass", 1675}, {"11", "Steam gauge", 5400}, {"12", "Oil can", 1250},
}

func find(id string) (product, bool) {
	for _, p := range catalogue {
		if p.ID == id {
			return p, true
		}
	}
	return product{}, false
}

func euro(cents int) string { return fmt.Sprintf("€%d.%02d", cents/100, cents%100) }
