%% SPDX-License-Identifier: Apache-2.0
%% @doc What the Python of a context may do: levels, what is granted and denied
%% beyond them, limits.  Checks what a user writes and says it in the form that
%% zygotes read (`c_src/sandbox/policy.h').  Pure.
%%
%% What is wrong is `{error, {invalid, Key, Value}}' with the key that holds it.
-module(py_policy).

-export([check/1, trusted/0, level/1, wire/1, ahead/2, limit/2, limits/1, grants/1, layers/1,
         levels/0]).

-export_type([policy/0, given/0, layer/0, capability/0, limits/0, grants/0]).

-include("../../port/py_wire.hrl").

-type level() :: trusted | default | strict.
%% `trusted': the application's own code; only limits hold, if any are given.
%% `default': scripts of users: imports, threads, no files beyond, no network.
%% `strict': computing on what is passed: no files, no imports, no threads.

-type layer() :: no_new_privs | rlimits | seccomp | landlock | landlock_net | landlock_scope
               | namespaces | own_uid | pid_namespace | cgroup.
%% What a sandbox is made of.

-type capability() ::
    {read, [file:name_all()]} | {write, [file:name_all()]} | {tmp, Bytes :: pos_integer()}
  | {net, connect, [inet:port_number()]} | threads | exec_memory
  | {import, [file:name_all()]}
  | {call, all | [terrarium_config:name()]} | {send, [atom()] | passed} | {fd, passed}.
%% `{send, passed}': to processes whose pids it was given.  `{fd, passed}': descriptors
%% that are handed over to it; all levels have that one.

-type limits() :: #{wall_ms | cpu_ms | grace_ms | memory | address_space | open_files | file_bytes
                    | fs_bytes | output_bytes | threads | frame_bytes | term_depth | term_words
                    | callbacks | callback_depth | inflight | handles | procs => pos_integer()}.

-type given() :: level()
               | #{level := level(), allow => [capability()], deny => [threads | tmp | call | fd],
                   limits => limits(), require => [layer()], without => [layer()],
                   preload => [terrarium_config:name()], spawn => fork | exec,
                   diagnose => boolean()}.
%% What a user writes.  `require': layers without which no context starts;
%% `without': layers to leave out, for tests of poorer hosts; `preload': modules
%% that are imported before the rest is locked; `spawn': whether helpers are forked, or
%% programs begun anew; `diagnose': whether a forbidden system call leaves its name, as it
%% does unless said otherwise.

-type grants() :: all | #{call := all | [binary()], send := all | [atom()], passed => boolean(),
                          fd := boolean(), output := pos_integer() | infinity,
                          handles => pos_integer()}.
%% What Python may ask of this VM.  With `handles' it has identifiers only as handles
%% (py_handles), of which so many are remembered.

-opaque policy() :: #{level := level(), given := map(), limits := map(), grants := grants(),
                      wire := none | map()}.
%% A checked policy.

-define(LEVELS, [trusted, default, strict]).
-define(LAYERS, [no_new_privs, rlimits, seccomp, landlock, landlock_net, landlock_scope,
                 namespaces, own_uid, pid_namespace, cgroup]).
-define(LIMITS, [wall_ms, cpu_ms, grace_ms, memory, address_space, open_files, file_bytes,
                 fs_bytes, output_bytes, threads, frame_bytes, term_depth, term_words, callbacks,
                 callback_depth, inflight, handles, procs]).
%% A callback's frame has two levels of its own, and one that says nothing needs them.
-define(LEAST_DEPTH, 4).
%% What a strict helper would import when it needs it.
-define(STRICT_PRELOAD, [<<"erlang">>, <<"ast">>, <<"erlang._logging">>, <<"erlang._messages">>,
                         <<"erlang._stream">>, <<"traceback">>, <<"tokenize">>, <<"json">>,
                         <<"math">>, <<"re">>]).

%% @doc The policy of contexts that ask for none.
-spec trusted() -> policy().
trusted() ->
    {ok, Policy} = check(trusted),
    Policy.

%% @doc The names of the levels.
-spec levels() -> [level()].
levels() ->
    ?LEVELS.

%% @doc Check what a user writes.
-spec check(term()) -> {ok, policy()} | {error, {invalid, atom(), term()}}.
check(Level) when is_atom(Level) ->
    check(#{level => Level});
check(#{level := _} = Map) ->
    try
        Known = [level, allow, deny, limits, require, without, preload, spawn, diagnose],
        _ = [throw({invalid, K, V}) || {K, V} <- maps:to_list(maps:without(Known, Map))],
        {ok, checked(Map)}
    catch
        throw:{invalid, Key, Value} when is_atom(Key) -> {error, {invalid, Key, Value}};
        throw:{invalid, Key, _} -> {error, {invalid, policy, Key}}
    end;
check(Other) ->
    {error, {invalid, policy, Other}}.

checked(#{level := Level} = Map) ->
    _ = lists:member(Level, ?LEVELS) orelse throw({invalid, level, Level}),
    Limits = budget(Level, maps:merge(level_limits(Level),
                                      limits_of(maps:get(limits, Map, #{})))),
    Allowed = allow(list(allow, Map), level_grants(Level)),
    Granted = within(Limits, deny(list(deny, Map), Allowed)),
    Wire = wire(Level, Granted, Limits, Map),
    #{level => Level, given => Map, limits => Limits, grants => grants(Level, Granted, Limits),
      wire => Wire}.

list(Key, Map) ->
    case maps:get(Key, Map, []) of
        List when is_list(List), length(List) >= 0 -> List;
        Other -> throw({invalid, Key, Other})
    end.

%%% Levels

level_limits(trusted) ->
    #{};
level_limits(default) ->
    (said_limits())#{wall_ms => 5000, memory => 512 bsl 20, open_files => 64,
                     file_bytes => 8 bsl 20, threads => 16, output_bytes => 1 bsl 20};
level_limits(strict) ->
    (said_limits())#{wall_ms => 1000, memory => 256 bsl 20, open_files => 32,
                     file_bytes => 1 bsl 20, output_bytes => 64 bsl 10}.

%% Of what it may say to this VM.
said_limits() ->
    #{frame_bytes => 16 bsl 20, term_words => 16 bsl 20, callbacks => 100000,
      callback_depth => 100, handles => 1024}.

%% Twice its time: one thread that does not end is interrupted before, and what it has
%% done is kept.  Whoever gives a request more time gives it more of a processor.
budget(Level, #{wall_ms := Ms} = Limits) when Level =/= trusted, not is_map_key(cpu_ms, Limits) ->
    Limits#{cpu_ms => 2 * Ms};
budget(_, Limits) ->
    Limits.

level_grants(default) -> (level_grants(strict))#{threads => true};
level_grants(strict) -> #{call => [], send => [], passed => false, fd => true};
level_grants(trusted) -> #{call => all, send => all, fd => true}.

%%% Limits

limits_of(Map) when is_map(Map) ->
    maps:map(fun limit_value/2, Map);
limits_of(Other) ->
    throw({invalid, limits, Other}).

limit_value(Key, N) ->
    case lists:member(Key, ?LIMITS) of
        true when is_integer(N), N > 0, N < 1 bsl 50 -> bounded(Key, N);
        true -> throw({invalid, Key, N});
        false -> throw({invalid, limits, Key})
    end.

bounded(Key, N) when (Key =:= wall_ms orelse Key =:= grace_ms), N > 16#ffffffff ->
    throw({invalid, Key, N});
bounded(frame_bytes, N) when N < 4096; N > 2147483647 ->
    throw({invalid, frame_bytes, N});
bounded(Key, N) when (Key =:= term_words orelse Key =:= callbacks orelse Key =:= callback_depth
                     orelse Key =:= handles), N > 16#ffffffff ->
    throw({invalid, Key, N});
bounded(term_depth, N) when N < ?LEAST_DEPTH; N > ?WIRE_MAX_DEPTH ->
    throw({invalid, term_depth, N});
bounded(_, N) ->
    N.

%% All that it writes must lie in its own `/tmp' for the sum to be bounded.
within(#{fs_bytes := Max}, #{tmp := Bytes} = Granted) when not is_map_key(write, Granted) ->
    Granted#{tmp := min(Max, Bytes)};
within(#{fs_bytes := Max}, _) ->
    throw({invalid, fs_bytes, Max});
within(_, Granted) ->
    Granted.

%%% Capabilities

allow(Capabilities, Granted) ->
    lists:foldl(fun allow_one/2, Granted, Capabilities).

allow_one({Key, Paths}, G) when Key =:= read; Key =:= write; Key =:= import ->
    G#{Key => paths(Key, Paths) ++ maps:get(Key, G, [])};
allow_one({tmp, Bytes}, G) when is_integer(Bytes), Bytes > 0, Bytes < 1 bsl 50 ->
    G#{tmp => Bytes};
allow_one({net, connect, Ports} = Net, G) when is_list(Ports) ->
    _ = [throw({invalid, allow, Net}) || P <- Ports,
                                         not (is_integer(P) andalso P > 0 andalso P < 65536)],
    G#{connect => more(Ports, maps:get(connect, G, []))};
allow_one(Flag, G) when Flag =:= threads; Flag =:= exec_memory ->
    G#{Flag => true};
allow_one({call, all}, G) ->
    G#{call => all};
allow_one({call, Names} = Call, G) ->
    case terrarium_config:names(Names) of
        {ok, Good} -> G#{call => more(Good, maps:get(call, G, []))};
        error -> throw({invalid, allow, Call})
    end;
allow_one({send, passed}, G) ->
    G#{passed => true};
allow_one({send, Names} = Send, G) when is_list(Names), length(Names) >= 0 ->
    _ = [throw({invalid, allow, Send}) || N <- Names, not is_atom(N)],
    G#{send => more(Names, maps:get(send, G, []))};
allow_one({fd, passed}, G) ->
    G#{fd => true};
allow_one(Other, _) ->
    throw({invalid, allow, Other}).

%% What is allowed twice is allowed together, as with paths.
more(_, all) -> all;
more(Names, Before) -> Before ++ (Names -- Before).

paths(Key, Paths) when is_list(Paths), length(Paths) >= 0 ->
    [case terrarium_config:path(P) of
         {ok, <<"/", _/binary>> = Path} -> Path;
         _ -> throw({invalid, allow, {Key, P}})
     end || P <- Paths];
paths(Key, Other) ->
    throw({invalid, allow, {Key, Other}}).

deny(Kinds, Granted) ->
    lists:foldl(fun(Kind, G) when Kind =:= threads; Kind =:= tmp -> maps:remove(Kind, G);
                   (call, G) -> G#{call => []};
                   (fd, G) -> G#{fd => false};
                   (Other, _) -> throw({invalid, deny, Other})
                end, Granted, Kinds).

%%% For the zygote

%% Trusted contexts without limits need none.
wire(trusted, _, Limits, Map) when map_size(Limits) =:= 0, map_size(Map) =:= 1 ->
    none;
wire(Level, Granted, Limits, Map) ->
    Required = layers(require, Map, default_require(Level)),
    Bare = #{level => Level, require => Required, without => layers(without, Map, []),
             preload => preload(Level, Map), spawn => spawning(Map),
             diagnose => diagnose(Level, Map)},
    Lists = maps:with([read, write, import, tmp, threads, exec_memory], Granted),
    Numbers = maps:with([memory, address_space, open_files, file_bytes, cpu_ms, procs], Limits),
    Ports = [integer_to_binary(P) || P <- maps:get(connect, Granted, [])],
    Count = [{thread_count, N} || #{threads := N} <- [Limits], is_map_key(threads, Granted)],
    maps:merge(maps:merge(maps:merge(Bare#{connect => Ports}, Lists), Numbers),
               maps:from_list(Count)).

default_require(trusted) -> [];
default_require(_) -> [seccomp, landlock].

layers(Key, Map, Default) ->
    Layers = maps:get(Key, Map, Default),
    case is_list(Layers) andalso length(Layers) >= 0 andalso Layers -- ?LAYERS of
        [] -> Layers;
        _ -> throw({invalid, Key, Layers})
    end.

preload(Level, Map) ->
    case terrarium_config:names(maps:get(preload, Map, [])) of
        {ok, Names} when Level =:= strict -> ?STRICT_PRELOAD ++ Names;
        {ok, Names} -> Names;
        error -> throw({invalid, preload, maps:get(preload, Map)})
    end.

spawning(#{spawn := How}) when How =:= fork; How =:= exec -> How;
spawning(#{spawn := Other}) -> throw({invalid, spawn, Other});
spawning(_) -> fork.

diagnose(_, #{diagnose := B}) when is_boolean(B) -> B;
diagnose(_, #{diagnose := Other}) -> throw({invalid, diagnose, Other});
diagnose(Level, _) -> Level =/= trusted.

grants(trusted, #{fd := true}, Limits) when not is_map_key(output_bytes, Limits) ->
    all;
grants(trusted, #{fd := Fd}, Limits) ->
    #{call => all, send => all, fd => Fd, output => maps:get(output_bytes, Limits, infinity)};
grants(_, Granted, #{handles := Handles} = Limits) ->
    (maps:with([call, send, passed, fd], Granted))#{
        handles => Handles, output => maps:get(output_bytes, Limits, infinity)}.

%%% What others ask

%% @doc Its level.
-spec level(policy()) -> level().
level(#{level := Level}) -> Level.

%% @doc As zygotes read it; `none': nothing is to be locked.
-spec wire(policy()) -> none | map().
wire(#{wire := Wire}) -> Wire.

%% @doc The part of a spawn message that is about the policy, with so many spares
%% of its kind.
-spec ahead(policy(), non_neg_integer()) -> map().
ahead(#{wire := none}, _) -> #{};
ahead(#{wire := Wire}, Spares) -> #{policy => Wire, ahead => Spares}.

%% @doc A limit, or this where it has none.
-spec limit({atom(), policy()}, term()) -> term().
limit({Key, #{limits := Limits}}, Default) -> maps:get(Key, Limits, Default).

%% @doc All of them.
-spec limits(policy()) -> limits().
limits(#{limits := Limits}) -> Limits.

%% @doc What its Python may ask of this VM.
-spec grants(policy()) -> grants().
grants(#{grants := Grants}) -> Grants.

%% @doc Layers as a zygote names them; one that we do not know is left out.
-spec layers([binary()]) -> [layer()].
layers(Names) ->
    [L || L <- ?LAYERS, lists:member(atom_to_binary(L), Names)].
