// Package webtest shows the pages to a real browser.
//
// story_test.go tells a story to a store, in the subjects' own events: what
// was pushed, built, released, judged and taken back over two weeks, with the
// counts behind it. house_test.go puts the pages on top of it, from the same
// parts as the product. browser_test.go looks at every page in Chromium, light
// and dark, at three widths, by keyboard and with axe-core; with
// -update-screenshots it also writes the pictures in docs/images.
//
// testdata/axe.min.js is axe-core 4.14.1 (MPL-2.0), unchanged.
package webtest
