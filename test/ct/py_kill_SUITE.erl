%% SPDX-License-Identifier: Apache-2.0
%% @doc Processes killed at random under load: every call gets exactly one
%% answer, right or an error, and nothing is left behind.
%%
%% TERRARIUM_KILL_ROUNDS sets the number of kills (default 300).
-module(py_kill_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(CALLERS, 64).
-define(CONTEXTS, 3).
%% What a zygote keeps forked ahead, by default.
-define(SPARES, 2).
%% The environment variable by which all processes of a run are known.
-define(MARK, "TERRARIUM_KILL_SUITE").

suite() -> [{timetrap, {minutes, 90}}].

all() -> [random_kills].

%% A zygote that the launcher started does not have the mark: the one that
%% follows it does.
init_per_suite(Config) ->
    ok = logger:set_primary_config(level, error),
    load_all(),
    Mark = os:getpid() ++ integer_to_list(rand:uniform(1 bsl 60)),
    true = os:putenv(?MARK, Mark),
    Restart = #{free => 1000000, min_backoff => 1, max_backoff => 20, stable_ms => 1000},
    %% A third of `start_timeout' is how long a zygote may be silent.
    ok = py_ct:start([{contexts, ?CONTEXTS}, {grace_ms, 100}, {restart, Restart},
                      {start_timeout, 6000}]),
    ok = py:register_function(kill_suite_echo, fun([N]) -> N end),
    ok = py:register_function(kill_suite_again, fun again/1),
    {ok, 1} = py:eval("1"),
    First = zygote_pid(),
    Old = [First | children(First)],
    ok = kill("KILL", First),
    py_ct:eventually(fun() -> [P || P <- Old, py_ct:alive(P)] =:= [] end),
    [{mark, list_to_binary(?MARK ++ "=" ++ Mark)} | Config].

end_per_suite(_) ->
    ok = py:unregister_function(kill_suite_echo),
    ok = py:unregister_function(kill_suite_again),
    py_ct:stop(),
    os:unsetenv(?MARK),
    logger:set_primary_config(level, notice).

%% Modules that are loaded on first use bring atoms of their own.
load_all() ->
    [code:ensure_loaded(M) || App <- [kernel, stdlib, common_test, terrarium],
                              application:load(App) =/= {error, enoent},
                              {ok, Modules} <- [application:get_key(App, modules)],
                              M <- Modules].

rounds() ->
    list_to_integer(os:getenv("TERRARIUM_KILL_ROUNDS", "300")).

random_kills(Config) ->
    %% Once through everything, so that all atoms and buffers are there.
    report(storm(100)),
    Before = at_rest(Config),
    Atoms = erlang:system_info(atom_count),
    Counts = storm(rounds()),
    report(Counts),
    ?assertEqual(0, maps:get(wrong, Counts)),
    ?assert(maps:get(right, Counts) > rounds()),
    _ = at_rest(Config),
    report(Before),
    py_ct:eventually(fun() -> grown(Before, resources()) end),
    ?assertEqual([], atoms_since(Atoms)).

grown(Before, Now) ->
    More = maps:filter(fun(K, V) -> V > maps:get(K, Before) end, Now),
    map_size(More) =:= 0 orelse {More, Before}.

report(What) ->
    ct:pal("~p", [What]),
    io:format(user, "~p~n", [What]).

atoms_since(N) ->
    [binary_to_term(<<131, $K, I:24>>) || I <- lists:seq(N, erlang:system_info(atom_count) - 1)].

%%% What there is

%% What there is when all contexts have their helpers, the ports of the dead ones have
%% been closed, and the zygote has as many spares as it wants.
at_rest(Config) ->
    py_ct:eventually(fun() -> in_order(Config) end),
    resources().

%% A port for each context and one for the zygote; of processes those that
%% belong to them, and spares.
in_order(Config) ->
    %% What the first use of a kind opens in a helper is open then.
    Results = [work(5, C, 1, 20000) || C <- contexts()],
    Helpers = [os_pid(C) || C <- contexts()],
    Zygote = zygote_pid(),
    Marked = marked(proplists:get_value(mark, Config)),
    Others = lists:usort(Marked ++ children(Zygote)) -- [Zygote | Helpers],
    #{ports := Ports} = py_ct:census(),
    case {lists:usort(Results), Ports, length(Others), Others -- children(Zygote)} of
        {[{ok, 1}], ?CONTEXTS + 1, ?SPARES, []} -> true;
        Else -> {Else, [{P, file:read_file(proc(P, "status"))} || P <- Others]}
    end.

contexts() ->
    py_context_router:contexts().

%% Every process that was started with this variable, but for the children of
%% the VM that only run a command.
marked(Mark) ->
    [Pid || Name <- element(2, file:list_dir("/proc")),
            {Pid, ""} <- [string:to_integer(Name)],
            {ok, Env} <- [file:read_file(proc(Pid, "environ"))],
            lists:member(Mark, binary:split(Env, <<0>>, [global])),
            {ok, Exe} <- [file:read_link(proc(Pid, "exe"))],
            string:find(Exe, "terrarium_py") =/= nomatch].

resources() ->
    Zygote = zygote_pid(),
    Helpers = [os_pid(C) || C <- contexts()],
    (py_ct:census())#{
        processes => length(processes()),
        tables => length(ets:all()),
        monitors => monitors(),
        port_monitors => lists:sum([port_monitors(P) || P <- erlang:ports()]),
        zygote_fds => length(fds(Zygote)),
        zygote_segments => segments(Zygote),
        helper_fds => lists:max([length(fds(H)) || H <- Helpers]),
        helper_segments => lists:max([segments(H) || H <- Helpers])}.

%% Of and on all processes; the driver's are of ports.
monitors() ->
    lists:sum([length(List) || P <- processes(),
                               {_, List} <- info(P, [monitors, monitored_by])]).

info(Pid, Items) ->
    case process_info(Pid, Items) of
        undefined -> [];
        Info -> Info
    end.

port_monitors(Port) ->
    lists:sum([length(List) || Item <- [monitors, monitored_by],
                               {_, List} <- [erlang:port_info(Port, Item)]]).

fds(Pid) ->
    case file:list_dir(proc(Pid, "fd")) of
        {ok, Names} -> Names;
        {error, _} -> []
    end.

segments(Pid) ->
    py_ct:segments(integer_to_list(Pid)).

children(Pid) ->
    case file:read_file(proc(Pid, "task/" ++ integer_to_list(Pid) ++ "/children")) of
        {ok, Text} -> [list_to_integer(P) || P <- string:lexemes(binary_to_list(Text), " \n")];
        {error, _} -> []
    end.

proc(Pid, Name) ->
    "/proc/" ++ integer_to_list(Pid) ++ "/" ++ Name.

%%% The storm

storm(Rounds) ->
    Self = self(),
    Callers = [spawn_link(fun() -> caller(Self, N) end) || N <- lists:seq(1, ?CALLERS)],
    Kills = [kill_something(Round) || Round <- lists:seq(1, Rounds)],
    [C ! stop || C <- Callers],
    lists:foldl(fun(C, Sum) ->
                    receive {C, Counts} -> merge(Counts, Sum)
                    after 60000 -> ct:fail({caller_hangs, process_info(C, current_stacktrace)})
                    end
                end, tally(Kills), Callers).

merge(A, B) ->
    maps:fold(fun(K, V, Acc) -> maps:update_with(K, fun(X) -> X + V end, V, Acc) end, B, A).

tally(Kills) ->
    lists:foldl(fun(K, Acc) -> merge(#{K => 1}, Acc) end, #{right => 0, wrong => 0}, Kills).

caller(Boss, N) ->
    rand:seed(exsss, {N, 2, 3}),
    Boss ! {self(), calls(#{})}.

calls(Counts) ->
    receive
        stop ->
            %% No answer may come late, or twice.
            receive Stray -> exit({stray_message, Stray})
            after 200 -> nothing_left(), Counts
            end
    after 0 ->
        Kind = one_call(rand:uniform(1 bsl 60)),
        calls(maps:update_with(Kind, fun(V) -> V + 1 end, 1, Counts))
    end.

%% Neither a monitor of this process nor one of the driver on it.
nothing_left() ->
    [{monitors, []}, {monitored_by, []}] = process_info(self(), [monitors, monitored_by]).

one_call(Nonce) ->
    Ctx = py:context(rand:uniform(?CONTEXTS)),
    Timeout = lists:nth(rand:uniform(3), [50, 300, 20000]),
    case work(rand:uniform(20), Ctx, Nonce, Timeout) of
        {ok, Nonce} -> right;
        {error, timeout} -> timeout;
        {error, {crashed, Report}} when is_map(Report) -> crashed;
        {error, {context_died, _}} -> died;
        {error, unavailable} -> pause();
        {error, {unavailable, _}} -> pause();
        {error, {"ErlangError", _}} -> inner;
        Other -> wrong(Other)
    end.

wrong(What) ->
    io:format(user, "wrong: ~p~n", [What]),
    wrong.

%% Mostly short; now and then slow, or with a body larger than any buffer.
work(1, Ctx, Nonce, Timeout) ->
    case py:call(Ctx, time, sleep, [0.02], #{timeout => Timeout}) of
        {ok, none} -> {ok, Nonce};
        Other -> Other
    end;
work(2, Ctx, Nonce, Timeout) ->
    Big = binary:copy(<<255>>, 300000),
    case py:call(Ctx, operator, getitem, [[Nonce, Big], 0], #{timeout => Timeout}) of
        {ok, N} -> {ok, N};
        Other -> Other
    end;
%% Through Erlang and back: in this process, in this and in Python once more, in
%% a process of its own.
work(3, Ctx, Nonce, Timeout) ->
    py_context:eval(Ctx, "__import__('erlang').kill_suite_echo(n)", #{n => Nonce}, Timeout);
work(4, Ctx, Nonce, Timeout) ->
    py_context:eval(Ctx, "__import__('erlang').kill_suite_again(n)", #{n => Nonce}, Timeout);
work(5, Ctx, Nonce, Timeout) ->
    Code = "(lambda f, n, r, thread:"
           " (t := thread(target=lambda: r.append(f(n))), t.start(), t.join()) and r[0])"
           "(__import__('erlang').kill_suite_echo, n, [], __import__('threading').Thread)",
    py_context:eval(Ctx, Code, #{n => Nonce}, Timeout);
work(_, Ctx, Nonce, Timeout) ->
    case py:call(Ctx, operator, add, [Nonce, 1], #{timeout => Timeout}) of
        {ok, N} -> {ok, N - 1};
        Other -> Other
    end.

%% A failure here is an ErlangError there.
again([N]) ->
    Timeout = lists:nth(rand:uniform(2), [50, 20000]),
    {ok, N} = py:call(py_callback:context(), operator, pos, [N], #{timeout => Timeout}),
    N.

pause() ->
    timer:sleep(10),
    unavailable.

%%% Kills

%% One, of a process that is there; which and how, for the tally.
kill_something(Round) ->
    {Kind, Signals} = target(Round rem 100),
    Signal = lists:nth(rand:uniform(length(Signals)), Signals),
    Pid = victim(Kind, 60000),
    ok = kill(Signal, Pid),
    timer:sleep(rand:uniform(20)),
    {Kind, Signal}.

%% A spare that is stopped costs its context the whole time that a start may
%% take, a zygote the third of it.
target(50) -> {zygote, ["KILL", "SEGV", "STOP"]};
target(25) -> {spare, ["STOP"]};
target(N) when N rem 10 =:= 5 -> {spare, ["KILL", "SEGV", "ABRT"]};
target(_) -> {helper, ["KILL", "SEGV", "ABRT", "STOP"]}.

victim(Kind, Left) when Left =< 0 ->
    ct:fail({nothing_to_kill, Kind});
victim(Kind, Left) ->
    case candidates(Kind) of
        [] -> timer:sleep(1), victim(Kind, Left - 1);
        Pids -> lists:nth(rand:uniform(length(Pids)), Pids)
    end.

candidates(zygote) ->
    [P || P <- [zygote_pid()], P =/= none];
candidates(helper) ->
    [P || P <- [os_pid(C) || C <- contexts()], P =/= none, py_ct:alive(P)];
candidates(spare) ->
    case candidates(zygote) of
        [Zygote] ->
            Children = children(Zygote),
            [P || P <- Children -- [os_pid(C) || C <- contexts()], py_ct:alive(P)];
        [] ->
            []
    end.

zygote_pid() ->
    case py_runtime:info(default) of
        {ok, #{status := up, os_pid := Pid}} -> Pid;
        _ -> none
    end.

os_pid(Ctx) ->
    case py_context:info(Ctx) of
        {ok, #{os_pid := Pid}} -> Pid;
        _ -> none
    end.

kill(Signal, Pid) ->
    _ = os:cmd("kill -" ++ Signal ++ " " ++ integer_to_list(Pid)),
    ok.
