"""How many machines a service needs: a job's measured costs, a price table, the arithmetic, and a simulation."""
