%% SPDX-License-Identifier: Apache-2.0
%% @doc Who dies with whom: a VM that is killed leaves no process behind,
%% however it was started.
-module(py_death_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 2}}].

all() -> [late_start_sigkill, early_start_sigkill, late_start_halt, early_start_halt,
          with_children, zygote_sigterm, zygote_sigkill_with_children].

late_start_sigkill(_) -> killed([]).
early_start_sigkill(_) -> killed([launcher(), "--"]).
late_start_halt(_) -> halted([]).
early_start_halt(_) -> halted([launcher(), "--"]).

launcher() ->
    filename:join(code:priv_dir(terrarium), "terrarium").

%% Another VM with busy contexts; it prints the pids of all its processes.
start_vm(Prefix, Extra) ->
    Code = "{ok, _} = application:ensure_all_started(terrarium), " ++ Extra ++
           "Cs = py_context_router:contexts(), "
           "Pids = [begin {ok, P} = py:eval(C, \"__import__('os').getpid()\"), P end || C <- Cs], "
           "{ok, #{os_pid := Z}} = py_runtime:info(default), "
           "[spawn(fun() -> py:call(C, time, sleep, [600]) end) || C <- Cs], "
           "timer:sleep(200), "
           "io:format(\"pids ~w~n\", [[list_to_integer(os:getpid()), Z | Pids]]), "
           "receive after infinity -> ok end.",
    Args = Prefix ++ ["erl", "-noinput", "-kernel", "logger_level", "error",
                      "-pa", filename:dirname(code:which(py)), "-eval", Code],
    [Program | Rest] = [filename:absname(find(hd(Args))) | tl(Args)],
    Port = open_port({spawn_executable, Program},
                     [{args, Rest}, binary, exit_status, {line, 10000}, stderr_to_stdout]),
    {Port, pids(Port)}.

find(Program) ->
    case os:find_executable(Program) of
        false -> Program;
        Path -> Path
    end.

pids(Port) ->
    receive
        {Port, {data, {eol, <<"pids ", Text/binary>>}}} ->
            {ok, Tokens, _} = erl_scan:string(binary_to_list(Text) ++ "."),
            {ok, Pids} = erl_parse:parse_term(Tokens),
            Pids;
        {Port, {data, Other}} ->
            ct:pal("~p", [Other]),
            pids(Port);
        {Port, {exit_status, Status}} ->
            ct:fail({vm_ended, Status})
    after 60000 ->
        ct:fail(vm_does_not_start)
    end.

killed(Prefix) ->
    {Port, [Vm | _] = Pids} = start_vm(Prefix, ""),
    ?assert(length(Pids) >= 3),
    All = Pids ++ spares(Pids),
    os:cmd("kill -KILL " ++ integer_to_list(Vm)),
    gone(All),
    ended(Port).

halted(Prefix) ->
    {Port, [Vm | _] = Pids} = start_vm(Prefix, "spawn(fun() -> timer:sleep(1500), halt(0) end), "),
    All = Pids ++ spares(Pids),
    py_ct:eventually(fun() -> not alive(Vm) end),
    gone(All),
    ended(Port).

%% What a helper started goes with it.
with_children(_) ->
    Extra = "ok = py:exec(py:context(1), \"import subprocess\\n"
            "p = subprocess.Popen(['sleep', '600'])\"), "
            "{ok, Child} = py:eval(py:context(1), \"p.pid\"), "
            "io:format(\"child ~b~n\", [Child]), ",
    {Port, [Vm | _] = Pids} = start_vm([], Extra),
    Children = lists:append([children(P) || P <- Pids]),
    os:cmd("kill -KILL " ++ integer_to_list(Vm)),
    gone(Pids ++ Children),
    ended(Port).

%% A zygote that is told to end takes its helpers along; the VM goes on.
zygote_sigterm(_) ->
    ok = py_ct:start([{contexts, 2}, {restart, #{free => 100}}]),
    {ok, 1} = py:eval("1"),
    Zygote = py_ct:zygote_pid(default),
    Helpers = children(Zygote),
    os:cmd("kill -TERM " ++ integer_to_list(Zygote)),
    gone([Zygote | Helpers]),
    py_ct:eventually(fun() -> py:eval("1 + 1") =:= {ok, 2} end),
    py_ct:stop().

%% A zygote that is killed can clean up nothing: its helpers end by themselves,
%% and what they started is killed by the VM (Linux 6.9 can do that safely).
zygote_sigkill_with_children(_) ->
    ok = py_ct:start([{contexts, 1}, {restart, #{free => 100}}]),
    ok = py:exec("import subprocess\np = subprocess.Popen(['sleep', '600'])"),
    {ok, Child} = py:eval("p.pid"),
    Zygote = py_ct:zygote_pid(default),
    Helpers = children(Zygote),
    os:cmd("kill -KILL " ++ integer_to_list(Zygote)),
    gone([Zygote | Helpers]),
    case group_kill() of
        true -> gone([Child]);
        false -> ct:comment("this kernel cannot kill a group by pidfd"),
                 os:cmd("kill -KILL " ++ integer_to_list(Child))
    end,
    py_ct:stop().

group_kill() ->
    {unix, linux} = os:type(),
    {Major, Minor, _} = os:version(),
    {Major, Minor} >= {6, 9}.

spares([_, Zygote | _]) ->
    children(Zygote).

children(Pid) ->
    S = integer_to_list(Pid),
    case file:read_file(["/proc/", S, "/task/", S, "/children"]) of
        {ok, Text} -> [list_to_integer(P) || P <- string:lexemes(binary_to_list(Text), " \n")];
        {error, _} -> []
    end.

%% A zombie whose parent has not looked yet is gone as well.
alive(Pid) ->
    case file:read_file(["/proc/", integer_to_list(Pid), "/stat"]) of
        {ok, Stat} ->
            [_, After] = binary:split(Stat, <<") ">>),
            binary:first(After) =/= $Z;
        {error, _} ->
            false
    end.

gone(Pids) ->
    Before = erlang:monotonic_time(millisecond),
    py_ct:eventually(fun() ->
                         case [P || P <- Pids, alive(P)] of
                             [] -> true;
                             Left -> Left
                         end
                     end),
    ct:pal("~b processes gone after ~b ms",
           [length(Pids), erlang:monotonic_time(millisecond) - Before]).

ended(Port) ->
    receive {Port, {exit_status, _}} -> ok
    after 20000 -> ct:fail(port_stays)
    end.
