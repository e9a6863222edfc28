// Package sim is a company on a virtual clock: services, people, traffic, and
// the machines under them, all drawn from one seed. What decides is the real
// thing: the App with its controllers, projections, executor, gates, objectives
// and incidents, over the real in-memory store. Only the outside is modelled:
// the data plane (plane.go), its traffic (traffic.go), pipeline steps, the
// repository and the image store (workshop.go), and the pager (people.go).
//
// A seed draws a company (company.go), what its people do and when (acts.go),
// and what breaks (chaos.go): servers that crash before or after any write and
// around any action, one that is suspended and comes back after another has
// taken over, agents that die, counts that come late, clocks that jump, people
// who act in the very moment in which a controller decides.
//
// While it runs and when it has come to rest, everything that must hold is
// checked (invariants.go, laws.go). The same seed gives the same history, so a
// violation is reproduced by its number:
//
//	FLYBALL_SIM_SEED=17 go test ./internal/sim -run TestSeed -v
//
// A harness that finds nothing proves nothing: planted.go has a table of bugs
// that are put between the real parts one at a time, and a test that each is
// caught, and by what (docs/simulation.md).
package sim
