%% SPDX-License-Identifier: Apache-2.0
%% @doc The programs that the benchmark runs beside itself: baselines in C, hogs,
%% a second VM.  Whatever is started here ends here, or by itself soon after.
-module(bench_os).

-export([use/1, program/1, round_trips/2, memcpy_ns/2, cpu_ns/1, cpu_during/2, run/3]).
-export([with_hogs/1, open_echo/0, echo/2, with_driver/1]).

-define(PROGRAMS, {?MODULE, programs}).
-define(HOG_SECONDS, "60").

%% @doc Where the compiled programs are.
-spec use(string()) -> ok.
use(Folder) ->
    persistent_term:put(?PROGRAMS, Folder).

%% @doc The path of one.
-spec program(string()) -> string().
program(Name) ->
    filename:join(persistent_term:get(?PROGRAMS), Name).

%%% Baselines in C

%% @doc So many round trips of the C baseline, in nanoseconds.
-spec round_trips(string(), pos_integer()) -> [non_neg_integer()].
round_trips(What, N) ->
    Out = run(program("baseline"), [What, integer_to_list(N)], 60000),
    [Ns || <<Ns:32/native>> <= Out].

%% @doc Nanoseconds of a copy of so many bytes between warm buffers.
-spec memcpy_ns(pos_integer(), pos_integer()) -> float().
memcpy_ns(Size, Ms) ->
    Args = ["memcpy", integer_to_list(Size), integer_to_list(Ms)],
    binary_to_float(string:trim(run(program("baseline"), Args, 60000))).

%%% Processor time

%% @doc Nanoseconds of processor time that each process has used.
-spec cpu_ns([pos_integer()]) -> [integer()].
cpu_ns(Pids) ->
    cpu_during(0, Pids).

%% @doc What each uses during the next so many milliseconds, which pass here
%% without any work.
-spec cpu_during(non_neg_integer(), [pos_integer()]) -> [integer()].
cpu_during(Ms, Pids) ->
    Args = [integer_to_list(N) || N <- [Ms | Pids]],
    Out = run(program("cpu_of"), Args, Ms + 30000),
    [binary_to_integer(Line) || Line <- binary:split(Out, <<"\n">>, [global, trim])].

%%% Programs

%% @doc What a program writes; it must end in time, and well.
-spec run(string(), [string()], pos_integer()) -> binary().
run(Program, Args, Ms) ->
    Port = open_port({spawn_executable, Program}, [{args, Args}, binary, exit_status, in]),
    {os_pid, Pid} = erlang:port_info(Port, os_pid),
    Timer = erlang:send_after(Ms, self(), {late, Port}),
    try output(Port, [])
    catch
        throw:late ->
            ok = kill(Pid),
            error({takes_too_long, Program, Args})
    after
        _ = erlang:cancel_timer(Timer)
    end.

output(Port, Acc) ->
    receive
        {Port, {data, Data}} -> output(Port, [Acc, Data]);
        {Port, {exit_status, 0}} -> iolist_to_binary(Acc);
        {Port, {exit_status, Status}} -> error({exit_status, Status, iolist_to_binary(Acc)});
        {late, Port} -> throw(late)
    end.

kill(Pid) ->
    _ = os:cmd("kill -9 " ++ integer_to_list(Pid)),
    ok.

%% @doc Do this while each core has a program that never rests.
-spec with_hogs(fun(() -> T)) -> T.
with_hogs(Fun) ->
    Hogs = [hog() || _ <- lists:seq(1, erlang:system_info(logical_processors_available))],
    try
        timer:sleep(300),
        Fun()
    after
        lists:foreach(fun({Port, Pid}) ->
                          ok = kill(Pid),
                          receive {Port, {exit_status, _}} -> ok after 10000 -> ok end
                      end, Hogs)
    end.

hog() ->
    Port = open_port({spawn_executable, program("hog")}, [{args, [?HOG_SECONDS]}, exit_status]),
    {os_pid, Pid} = erlang:port_info(Port, os_pid),
    {Port, Pid}.

%%% What else Erlang has

%% @doc A `{packet, 4}' port to a C program that sends back what it gets: the
%% ordinary way to an external program.
-spec open_echo() -> port().
open_echo() ->
    open_port({spawn_executable, program("echo_port")}, [{packet, 4}, binary]).

%% @doc One round trip; in the port's owner.
-spec echo(port(), binary()) -> binary().
echo(Port, Data) ->
    true = port_command(Port, Data),
    receive {Port, {data, Back}} -> Back end.

%% @doc Do this with a port of a driver whose `port_control' gives back what it
%% got.
-spec with_driver(fun((port()) -> T)) -> T.
with_driver(Fun) ->
    ok = erl_ddll:load_driver(persistent_term:get(?PROGRAMS), "echo_drv"),
    Port = open_port({spawn_driver, "echo_drv"}, []),
    try
        Fun(Port)
    after
        true = port_close(Port),
        ok = erl_ddll:unload_driver("echo_drv")
    end.
