%% SPDX-License-Identifier: Apache-2.0
%% What the process of a context knows (py_context_server, and the modules to which
%% it leaves parts of its work: py_context_renewal, _old, _output, _end).

-record(data, {id, label, opts, owner = none,
               starter = none, % waits for the first helper, if it is that of a run
               runtime = none, ref = none, % where the helper comes from
               port = none, os_pid = none, layers = [], hello = #{}, generation = 0,
               interp_id = none, restarts = 0, crashes = 0, renewals = 0,
               past = #{},        % what the ports counted that are gone
               swap = py_context_swap:new(), % the next helper, and former ones
               death, boot_reason = none, backoff, output, backtrace = py_backtrace:new(),
               finishing = none,  % who is told what the only helper has used
               old = #{}}).       % failed ports that linger: Port => {Output, OsPid}
