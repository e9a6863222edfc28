// Package examples holds the services that flyball demo delivers, so that the
// binary alone can tell its story.
//
//   - shop is a storefront: what is built, released, broken and taken back. Its
//     changes directory holds the commits of the story as patches.
//   - inventory is what the shop depends on. Flyball does not deliver it.
//
// Both use nothing but the standard library. They are part of this module so
// that they can be embedded, and are tested with everything else; in the
// demo's repository each has a go.mod of its own.
package examples

import "embed"

// Files are the sources below shop and inventory.
//
//go:embed shop inventory
var Files embed.FS
