%% SPDX-License-Identifier: Apache-2.0
%% @doc What the suites share: starting the application with an environment,
%% waiting for a condition, counting what could leak.
%%
%% TERRARIUM_TEST_WAY says how VM and helpers speak, wherever a suite leaves it
%% open: `lane' (what the application does by itself), `no_spin' (a lane, but
%% nobody polls) or `socket' (no lane).
-module(py_ct).

-export([start/0, start/1, stop/0, way/0, eventually/1, eventually/2, census/0, settled/1,
         segments/1, alive/1, stuck/0, mailbox/0, zygote_pid/1, helper_pid/1, parallel/2]).

%% Start the application with these settings (over an empty environment).
start() ->
    start([]).

start(Env) ->
    ok = stop(),
    case application:load(terrarium) of
        ok -> ok;
        {error, {already_loaded, terrarium}} -> ok
    end,
    [application:unset_env(terrarium, K) || {K, _} <- application:get_all_env(terrarium)],
    [application:set_env(terrarium, K, V) || {K, V} <- way() ++ Env],
    application:start(terrarium).

%% The settings of the way that this run is to take.
way() ->
    case os:getenv("TERRARIUM_TEST_WAY", "lane") of
        "lane" -> [];
        "no_spin" -> [{spin_us, 0}];
        "socket" -> [{lane, false}]
    end.

stop() ->
    case application:stop(terrarium) of
        ok -> ok;
        {error, {not_started, terrarium}} -> ok
    end.

%% Until the fun says true; fails after a generous time.
eventually(Fun) ->
    eventually(Fun, 20000).

eventually(Fun, Left) when Left =< 0 ->
    ct:fail({never, Fun()});
eventually(Fun, Left) ->
    case Fun() of
        true -> ok;
        _ -> timer:sleep(20), eventually(Fun, Left - 20)
    end.

%% What must not grow: ports, descriptors, processes of the VM, shared memory.
census() ->
    #{ports => length([P || P <- erlang:ports(), py_port(P)]),
      fds => length(element(2, file:list_dir("/proc/self/fd"))),
      segments => segments("self"),
      zombies => zombies()}.

%% Segments of lanes that a process (a string) has mapped or has open.
segments(Pid) ->
    Maps = case file:read_file(["/proc/", Pid, "/maps"]) of
               {ok, Text} -> length(binary:matches(Text, <<"/memfd:terrarium-lane">>));
               {error, _} -> 0
           end,
    Maps + length([Fd || Fd <- filelib:wildcard("/proc/" ++ Pid ++ "/fd/*"),
                         {ok, "/memfd:terrarium-lane" ++ _} <- [file:read_link(Fd)]]).

py_port(P) ->
    case erlang:port_info(P, name) of
        {name, "py_drv" ++ _} -> true;
        _ -> false
    end.

%% Children of this VM that ended and were not reaped.
zombies() ->
    Me = os:getpid(),
    length([Pid || Pid <- element(2, file:list_dir("/proc")), is_zombie(Pid, Me)]).

is_zombie(Pid, Parent) ->
    case file:read_file(filename:join(["/proc", Pid, "stat"])) of
        {ok, Stat} ->
            [_, After] = string:split(Stat, ")", trailing),
            case string:lexemes(binary_to_list(After), " ") of
                ["Z", Parent | _] -> true;
                _ -> false
            end;
        {error, _} ->
            false
    end.

%% The census comes back to what it was (at most as many).
settled(Before) ->
    eventually(fun() ->
                       Now = census(),
                       lists:all(fun(K) -> maps:get(K, Now) =< maps:get(K, Before) end,
                                 maps:keys(Now)) orelse Now
               end).

%% A zombie is dead: some systems' init takes its time.
alive(OsPid) ->
    case file:read_file(filename:join(["/proc", integer_to_list(OsPid), "stat"])) of
        {ok, Stat} ->
            [_, After] = string:split(Stat, ")", trailing),
            hd(string:lexemes(binary_to_list(After), " ")) =/= "Z";
        {error, _} ->
            false
    end.

%% A Python expression that does not end by itself.
stuck() ->
    <<"__import__('time').sleep(3600)">>.

mailbox() ->
    {messages, Messages} = process_info(self(), messages),
    Messages.

zygote_pid(Runtime) ->
    {ok, #{os_pid := Pid}} = py_runtime:info(Runtime),
    Pid.

helper_pid(Context) ->
    {ok, Pid} = py:eval(Context, "__import__('os').getpid()"),
    Pid.

%% Run the fun in N processes; their results in order.
parallel(N, Fun) ->
    Runs = [spawn_monitor(fun() -> exit({result, Fun(I)}) end) || I <- lists:seq(1, N)],
    [receive
         {'DOWN', Mon, process, _, {result, Result}} -> Result;
         {'DOWN', Mon, process, _, Reason} -> {died, Reason}
     after 120000 -> ct:fail({no_result, process_info(Pid, current_stacktrace)})
     end || {Pid, Mon} <- Runs].
