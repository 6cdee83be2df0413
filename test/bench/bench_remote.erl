%% SPDX-License-Identifier: Apache-2.0
%% @doc A call of a context of another node on this machine, beside the least that the
%% distribution offers: `erpc:call' of a function that does nothing.
-module(bench_remote).

-export([run/0]).

-define(BOOT_MS, 60000).
-define(HOST, "127.0.0.1").

%% @doc This VM is a node for as long as that takes.
-spec run() -> bench:part().
run() ->
    case os:find_executable("epmd") of
        false ->
            #{tables => [], keys => #{}};
        Epmd ->
            Command = Epmd ++ " -address " ++ ?HOST ++ " ",
            Ours = not is_there(),
            _ = os:cmd(Command ++ "-daemon"),
            ok = wait(100),
            Part = as_node(),
            _ = Ours andalso os:cmd(Command ++ "-kill"),
            Part
    end.

%% It says that it has begun before it listens.
wait(0) ->
    error(no_epmd);
wait(Times) ->
    case is_there() of
        true -> ok;
        false -> timer:sleep(50), wait(Times - 1)
    end.

%% A port mapper?
is_there() ->
    case gen_tcp:connect(?HOST, 4369, []) of
        {ok, Socket} -> ok =:= gen_tcp:close(Socket);
        {error, _} -> false
    end.

as_node() ->
    ok = application:set_env(kernel, inet_dist_use_interface, {127, 0, 0, 1}),
    {ok, _} = net_kernel:start('terrarium_bench@127.0.0.1', #{name_domain => longnames}),
    try
        with_peer()
    after
        net_kernel:stop()
    end.

with_peer() ->
    Args = ["-connect_all", "false", "-kernel", "inet_dist_use_interface", "{127,0,0,1}",
            "-pa" | code:get_path()],
    {ok, Peer, Node} = peer:start_link(#{name => peer:random_name(), host => ?HOST,
                                         longnames => true, connection => standard_io,
                                         wait_boot => ?BOOT_MS, args => Args}),
    {ok, _} = erpc:call(Node, application, ensure_all_started, [terrarium]),
    Part = measured(things(Node, erpc:call(Node, py, context, [1]))),
    ok = peer:stop(Peer),
    Part.

things(Node, Context) ->
    ok = py:exec(Context, "import erlang"),
    ok = py:register_function(bench_back, fun([X]) -> X end),
    [{erpc, fun() -> 1 = erpc:call(Node, erlang, abs, [1]) end},
     {call, fun() -> {ok, 4.0} = py:call(Context, math, sqrt, [16]) end},
     {callback, fun() -> {ok, 1} = py:call(Context, erlang, call, [<<"bench_back">>, 1]) end},
     {cast, fun() -> {ok, 4.0} = py:await(py:cast(Context, math, sqrt, [16])) end}].

measured(Things) ->
    Clock = bench_lib:clock(),
    Samples = bench_lib:pick(3000, 1000),
    Rounds = [[{Name, bench_lib:alone(fun() -> times(Samples, Run, Clock) end)}
               || {Name, Run} <- bench_lib:rotate(R, Things)]
              || R <- lists:seq(1, bench_lib:pick(5, 3))],
    ok = py:unregister_function(bench_back),
    Merged = maps:from_list([{Name, bench_lib:merge([proplists:get_value(Name, R)
                                                     || R <- Rounds])}
                             || {Name, _} <- Things]),
    #{erpc := Erpc, call := Call} = maps:map(fun(_, D) -> bench_lib:at(5000, D) end, Merged),
    #{tables => [table(length(Rounds), Merged, Erpc)],
      keys => #{remote_call_p50_ns => Call, remote_call_to_erpc => Call / Erpc}}.

times(Samples, Run, Clock) ->
    bench_lib:distribution(bench_lib:samples(Samples, Run), Clock).

table(Rounds, Merged, Erpc) ->
    Row = fun(Title, Name) ->
                  #{Name := D} = Merged,
                  {Title, [bench_lib:at(5000, D), bench_lib:at(9900, D),
                           bench_lib:at(5000, D) / Erpc]}
          end,
    #{title => "a context of another node, on this machine: one caller",
      notes => [bench_lib:rounds_text(Rounds)],
      columns => [{"p50", us}, {"p99", us}, {"p50 / erpc", ratio}],
      rows => [Row("erpc:call of erlang:abs(1)", erpc),
               Row("py:call of math.sqrt", call),
               Row("the same, and Python calls a function here", callback),
               Row("py:cast of math.sqrt and py:await", cast)]}.
