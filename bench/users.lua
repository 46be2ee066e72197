-- wrk script: each request is for a user drawn at random. Arguments: prefix of the user ids, how many users, and what
-- stands in front of the user id. Two more say how many milliseconds a connection waits between its calls at least
-- and at most.
local requests = {}

local shortest, longest = 0, 0

function init(args)
  shortest, longest = tonumber(args[4]), tonumber(args[5])
  if longest > 0 then
    -- wrk looks for it when all is loaded; with it each request goes through a timer.
    function delay()
      return math.random(shortest, longest)
    end
  end
  math.randomseed(20)
  for number = 0, tonumber(args[2]) - 1 do
    requests[number] = wrk.format("GET", args[3] .. args[1] .. number)
  end
end

function request()
  return requests[math.random(0, #requests)]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '{"answers": %d, "microseconds": %d, "failed": %d, "p50": %d, "p99": %d, "p999": %d, "slowest": %d}\n',
    summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
